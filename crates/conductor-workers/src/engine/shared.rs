//! The scheduler and the pool of a running engine, shared by its coordinator and by callers that submit runs.

use super::pool::Pool;
use super::scheduler::Scheduler;
use conductor_store::{Submit, SubmitError, SubmitOutcome};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// A scheduler behind a mutex. The coordinator locks it for each turn, and unlocks it while it waits.
pub(super) struct SharedScheduler {
    scheduler: Mutex<Scheduler>,
    pub(super) pool: Arc<Pool>,
}

impl SharedScheduler {
    pub(super) fn new(scheduler: Scheduler, pool: Arc<Pool>) -> Self {
        Self { scheduler: Mutex::new(scheduler), pool }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Scheduler> {
        self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits a run and starts its first tasks: with one transaction, and by waking one worker thread. The coordinator
    /// would need a second transaction and a second thread.
    ///
    /// Returns `None` if nothing was submitted: the coordinator is busy, or no worker is free.
    pub(super) fn submit(&self, request: &Submit) -> Result<Option<SubmitOutcome>, SubmitError> {
        // A woken coordinator comes first: otherwise it could wait forever while other threads submit.
        if !self.pool.mailbox.is_reader_waiting() {
            return Ok(None);
        }
        let mut scheduler = match self.scheduler.try_lock() {
            Ok(scheduler) => scheduler,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        let now = self.pool.shared.clock.elapsed();
        let submitted = scheduler.submit(now, request, self.pool.lost_workers())?;
        Ok(submitted.map(|submitted| {
            self.pool.run(submitted.claimed);
            submitted.outcome
        }))
    }
}
