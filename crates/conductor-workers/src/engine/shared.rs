//! An engine at work: what the thread that coordinates it shares with whoever submits to it.

use super::pool::Pool;
use super::scheduler::Scheduler;
use conductor_store::{Submit, SubmitError, SubmitOutcome};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// The core has one user at a time. The coordinator has it for each of its turns, and leaves it while it waits.
pub(crate) struct SharedScheduler {
    core: Mutex<Scheduler>,
    pub(crate) pool: Arc<Pool>,
}

impl SharedScheduler {
    pub(crate) fn of(core: Scheduler, pool: Arc<Pool>) -> Self {
        Self { core: Mutex::new(core), pool }
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Scheduler> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits a run, and begins what can begin: one transaction, and one thread to wake. The coordinator, which is to be
    /// nudged, would need another of each. `None`, and nothing was submitted, unless it waits for something to do and a worker
    /// is free.
    pub(crate) fn submit(&self, request: &Submit) -> Result<Option<SubmitOutcome>, SubmitError> {
        // Once it was nudged it comes first: otherwise it could wait for ever while others submit.
        if !self.pool.mailbox.is_awaited() {
            return Ok(None);
        }
        let mut core = match self.core.try_lock() {
            Ok(core) => core,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        let now = self.pool.shared.clock.elapsed();
        core.submit(now, request, self.pool.lost_workers(), |attempts| self.pool.run(attempts))
    }
}
