//! The connections between an engine and its coordinator.

use super::completion::Completion;
use super::mailbox::Mailbox;
use crate::event_signal::EventSignal;
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
pub(super) struct Channels {
    /// Messages to the coordinator.
    pub(super) mailbox: Arc<Mailbox>,
    /// Wakes callers that wait for a run or for the end of the engine.
    pub(super) completion: Arc<Completion>,
    /// Wakes subscriptions.
    pub(super) events: Arc<EventSignal>,
}
