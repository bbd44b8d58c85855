//! Tells waiting callers that a run may have settled, or that the engine has ended.

use super::error::RunError;
use conductor_store::StoreError;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Counts the moments at which a run may have settled, and stores how the engine ended.
#[derive(Debug, Default)]
pub(super) struct Completion {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    settled: u64,
    end: Option<EngineEnd>,
}

/// How an engine ended.
#[derive(Clone, Debug)]
pub(super) enum EngineEnd {
    /// It was asked to stop.
    Stopped,
    /// The store failed permanently, or for too long.
    StoreFailed(Arc<StoreError>),
    /// The runtime of its asynchronous handlers was shut down.
    RuntimeShutDown,
    /// Its own thread panicked.
    Panicked,
}

impl EngineEnd {
    /// Returns the error of an engine that was not asked to stop.
    pub(super) fn error(self) -> Option<RunError> {
        match self {
            Self::Stopped => None,
            Self::StoreFailed(error) => Some(RunError::Store(error)),
            Self::RuntimeShutDown => Some(RunError::RuntimeShutDown),
            Self::Panicked => Some(RunError::Panicked),
        }
    }
}

impl Completion {
    /// Wakes the callers that wait for a run.
    pub(super) fn notify(&self) {
        self.lock().settled += 1;
        self.changed.notify_all();
    }

    /// Ends all waits: the engine has ended.
    pub(super) fn finish(&self, end: EngineEnd) {
        self.lock().end = Some(end);
        self.changed.notify_all();
    }

    /// Returns the count, for [`Completion::wait`], and how the engine ended.
    pub(super) fn status(&self) -> (u64, Option<EngineEnd>) {
        let state = self.lock();
        (state.settled, state.end.clone())
    }

    /// Waits until the count differs from `known`, the engine has ended, or the timeout has passed.
    pub(super) fn wait(&self, known: u64, timeout: Duration) {
        let is_same = |state: &mut State| state.settled == known && state.end.is_none();
        let _ = self.changed.wait_timeout_while(self.lock(), timeout, is_same);
    }

    /// Waits until the engine has ended.
    pub(super) fn wait_for_end(&self) -> EngineEnd {
        let is_running = |state: &mut State| state.end.is_none();
        let state = self.changed.wait_while(self.lock(), is_running).unwrap_or_else(PoisonError::into_inner);
        state.end.clone().unwrap_or(EngineEnd::Stopped)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
