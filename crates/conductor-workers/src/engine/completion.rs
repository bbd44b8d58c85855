//! What those who wait for an engine are told.

use super::error::RunError;
use conductor_store::StoreError;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Counts the moments at which a run may have been settled, and knows how the engine ended.
#[derive(Debug, Default)]
pub(crate) struct Completion {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    settled: u64,
    over: Option<EngineEnd>,
}

/// How an engine ended.
#[derive(Clone, Debug)]
pub(crate) enum EngineEnd {
    /// It was asked to.
    Stopped,
    /// The store could not go on.
    Failed(Arc<StoreError>),
    /// The runtime of its asynchronous handlers was shut down.
    RuntimeShutDown,
    /// Its own thread panicked.
    Panicked,
}

impl EngineEnd {
    /// The error of an engine that was not asked to end.
    pub(crate) fn without_a_stop(self) -> Result<(), RunError> {
        match self {
            Self::Stopped => Ok(()),
            Self::Failed(fault) => Err(RunError::Store(fault)),
            Self::RuntimeShutDown => Err(RunError::RuntimeShutDown),
            Self::Panicked => Err(RunError::Panicked),
        }
    }
}

impl Completion {
    pub(crate) fn something_settled(&self) {
        self.lock().settled += 1;
        self.changed.notify_all();
    }

    pub(crate) fn over(&self, end: EngineEnd) {
        self.lock().over = Some(end);
        self.changed.notify_all();
    }

    /// The count, and how the engine ended, if it did.
    pub(crate) fn seen(&self) -> (u64, Option<EngineEnd>) {
        let state = self.lock();
        (state.settled, state.over.clone())
    }

    /// Waits until the count is another one, the engine ended, or so much time has passed.
    pub(crate) fn wait(&self, seen: u64, patience: Duration) {
        let same = |state: &mut State| state.settled == seen && state.over.is_none();
        let _ = self.changed.wait_timeout_while(self.lock(), patience, same);
    }

    /// Waits until the engine ended.
    pub(crate) fn wait_for_the_end(&self) -> EngineEnd {
        let running = |state: &mut State| state.over.is_none();
        let state = self.changed.wait_while(self.lock(), running).unwrap_or_else(PoisonError::into_inner);
        state.over.clone().unwrap_or(EngineEnd::Stopped)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
