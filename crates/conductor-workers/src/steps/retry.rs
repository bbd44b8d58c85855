//! Makes failed tasks PENDING whose retry is due.
//!
//! ```
//! use conductor_model::{RunDraft, State, TaskDraft};
//! use conductor_store::{Query, Report, ReportBatch, Scope, Environment, SqliteStore, Store, Submit, TaskFilter};
//! use conductor_workers::steps::retry;
//!
//! let store = SqliteStore::open_in_memory()?;
//! let env = Environment::system();
//!
//! // A limit of its own; without one, a task is retried three times.
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
//! How often, and after which wait, is said per task; none is retried for ever:
//!
//! ```
//! use conductor_model::{Backoff, TaskDraft};
//!
//! let critical = TaskDraft::new("CRITICAL_TASK").max_retries(10).validate()?;
//! assert_eq!(critical.max_retries().get(), 10);
//!
//! // 1 s, 2 s, 4 s … up to a minute, each up to a fifth shorter by chance.
//! let patient = TaskDraft::new("API_CALL").backoff(Backoff::exponential(1000, 60_000)?.with_jitter(0.2)?);
//! assert!(patient.validate().is_ok());
//! assert!(TaskDraft::new("STUBBORN").max_retries(1001).validate().is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::ROWS_PER_STEP;
use conductor_store::{Environment, Scope, Step, Store, StoreError};

/// What a round of retries came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryTotals {
    /// How many tasks are PENDING again, with their `retry_count` raised.
    pub retried: u64,
    /// How many delayed tasks may start now.
    pub promoted: u64,
}

/// Retries every failed task in the scope whose retry is due, and lets delayed tasks start that are due.
///
/// # Errors
/// [`StoreError`] of the step that failed; what the steps before it did stays done.
pub fn run_once<S: Store + ?Sized>(
    store: &S,
    scope: Scope,
    env: &Environment,
) -> Result<RetryTotals, StoreError> {
    let mut report = RetryTotals::default();
    // One moment for all steps: what becomes due meanwhile belongs to the next call.
    let step = Step::new(scope, ROWS_PER_STEP, env);
    loop {
        let (retried, promoted) = (store.retry(&step)?, store.promote(&step)?);
        report.retried += u64::from(retried.changed);
        report.promoted += u64::from(promoted.changed);
        if !retried.more && !promoted.more {
            return Ok(report);
        }
    }
}
