//! What those who wait for an engine are told.

use conductor_store::Fault;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Counts the moments at which a run may have been settled, and knows how the engine ended.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    settled: u64,
    /// The engine ended, by its own will or by an error.
    over: Option<Result<(), Arc<Fault>>>,
}

impl Progress {
    pub(crate) fn something_settled(&self) {
        self.lock().settled += 1;
        self.changed.notify_all();
    }

    pub(crate) fn over(&self, fault: Option<Fault>) {
        self.lock().over = Some(fault.map_or(Ok(()), |fault| Err(Arc::new(fault))));
        self.changed.notify_all();
    }

    /// The count, and how the engine ended, if it did.
    pub(crate) fn seen(&self) -> (u64, Option<Result<(), Arc<Fault>>>) {
        let state = self.lock();
        (state.settled, state.over.clone())
    }

    /// Waits until the count is another one, the engine ended, or so much time has passed.
    pub(crate) fn wait(&self, seen: u64, patience: Duration) {
        let same = |state: &mut State| state.settled == seen && state.over.is_none();
        let _ = self.changed.wait_timeout_while(self.lock(), patience, same);
    }

    /// Waits until the engine ended.
    pub(crate) fn wait_for_the_end(&self) -> Result<(), Arc<Fault>> {
        let running = |state: &mut State| state.over.is_none();
        let state = self.changed.wait_while(self.lock(), running).unwrap_or_else(PoisonError::into_inner);
        state.over.clone().unwrap_or(Ok(()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
