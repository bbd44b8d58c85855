//! Makes failed tasks PENDING whose retry is due.

use crate::ROWS_PER_STEP;
use conductor_store::{Fault, Scope, Source, Step, Store};

/// What a round of retries came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many tasks are PENDING again, with their `retry_count` raised.
    pub retried: u64,
    /// How many delayed tasks may start now.
    pub promoted: u64,
}

/// Retries every failed task in the scope whose retry is due, and lets delayed tasks start that are due.
///
/// # Errors
/// [`Fault`] of the step that failed; what the steps before it did stays done.
pub fn run_once<S: Store + ?Sized>(store: &S, scope: Scope, source: &Source) -> Result<Report, Fault> {
    let mut report = Report::default();
    // One moment for all steps: what becomes due meanwhile belongs to the next call.
    let step = Step { scope, now: source.now(), limit: ROWS_PER_STEP };
    loop {
        let (retried, promoted) = (store.retry(&step)?, store.promote(&step)?);
        report.retried += u64::from(retried.tasks);
        report.promoted += u64::from(promoted.tasks);
        if !retried.more && !promoted.more {
            return Ok(report);
        }
    }
}
