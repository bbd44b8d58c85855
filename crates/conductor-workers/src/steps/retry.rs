//! The retry step: makes failed tasks PENDING when their retry is due.
//!
//! ```
//! use conductor_model::{RunDraft, State, TaskDraft};
//! use conductor_store::{Query, Report, ReportBatch, Scope, Environment, SqliteStore, Store, Submit, TaskFilter};
//! use conductor_workers::steps::retry;
//!
//! let store = SqliteStore::open_in_memory()?;
//! let env = Environment::system();
//!
//! // Without its own limit a task is retried three times.
//! let task = TaskDraft::new("API_CALL").max_retries(5);
//! let run = store.submit(&Submit::new(RunDraft::new().task(task).validate()?, &env))?.run;
//! let task = store.tasks(run, TaskFilter::default(), None, 1)?.items[0].id;
//!
//! store.report(&ReportBatch::new([Report::failed(task, "Connection timeout")], &env))?;
//! assert_eq!(retry::run_once(&store, Scope::Run(run), &env)?.retried, 1);
//!
//! let task = store.task(task)?.unwrap();
//! assert_eq!(task.state, State::Pending);
//! assert_eq!((task.retry_count, task.max_retries.get()), (1, 5));
//! assert_eq!(task.last_error.unwrap().as_str(), "Connection timeout");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Each task has its own number of retries, up to 1,000, and its own backoff:
//!
//! ```
//! use conductor_model::{Backoff, TaskDraft};
//!
//! let critical = TaskDraft::new("CRITICAL_TASK").max_retries(10).validate()?;
//! assert_eq!(critical.max_retries().get(), 10);
//!
//! // 1 s, 2 s, 4 s … up to one minute, each shortened by a random part of up to one fifth.
//! let slow = TaskDraft::new("API_CALL").backoff(Backoff::exponential(1000, 60_000)?.with_jitter(0.2)?);
//! assert!(slow.validate().is_ok());
//! assert!(TaskDraft::new("ENDLESS").max_retries(1001).validate().is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::drain::drain;
use crate::limits::ROWS_PER_STEP;
use conductor_store::{Environment, Scope, Step, Store, StoreError};
use std::ops::AddAssign;

/// The totals of a retry pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryTotals {
    /// How many failed tasks became PENDING, each with `retry_count` increased by one.
    pub retried: u64,
    /// How many delayed tasks became ready.
    pub promoted: u64,
}

impl AddAssign for RetryTotals {
    fn add_assign(&mut self, other: Self) {
        self.retried += other.retried;
        self.promoted += other.promoted;
    }
}

/// Makes one pass, which repeats bounded steps until no retry and no delayed start in the scope is due.
///
/// # Errors
/// [`StoreError`] of the failed step; earlier steps remain.
pub fn run_once<S: Store + ?Sized>(
    store: &S,
    scope: Scope,
    env: &Environment,
) -> Result<RetryTotals, StoreError> {
    let mut totals = RetryTotals::default();
    // One time for all steps: a retry that becomes due during the pass belongs to the next pass.
    let step = Step::new(scope, ROWS_PER_STEP, env);
    drain(|| {
        let (retried, promoted) = (store.retry(&step)?, store.promote(&step)?);
        totals.retried += u64::from(retried.changed);
        totals.promoted += u64::from(promoted.changed);
        Ok(retried.more || promoted.more)
    })?;
    Ok(totals)
}
