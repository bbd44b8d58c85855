//! Stops an engine from another thread.

use super::mailbox::Mailbox;
use std::sync::Arc;

/// Stops an engine. Usable in every thread, and in a signal handler that runs in a thread of its own.
#[derive(Clone, Debug)]
pub struct StopHandle {
    mailbox: Arc<Mailbox>,
}

impl StopHandle {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { mailbox }
    }

    /// Asks the engine to stop gracefully. It claims nothing more, releases the tasks that have not started, and ends
    /// after the running handlers have returned.
    ///
    /// A second call has the effect of [`StopHandle::stop_now`].
    pub fn stop(&self) {
        self.mailbox.stop();
    }

    /// Asks the engine to stop immediately. It also releases the running tasks. The next engine that claims them runs them
    /// again.
    pub fn stop_now(&self) {
        self.mailbox.stop_now();
    }
}
