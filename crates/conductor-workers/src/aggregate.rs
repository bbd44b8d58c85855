//! Decides parents and runs whose children are all settled.

use crate::ROWS_PER_STEP;
use conductor_store::{Fault, Scope, Source, Step, Store};

/// What an aggregation came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many parents were decided.
    pub parents: u64,
    /// How many runs were decided.
    pub runs: u64,
}

/// Carries the states of children up to their parents and runs, level by level.
///
/// Any child FAILED makes the parent FAILED, else any CANCELLED makes it CANCELLED, else it SUCCEEDED; nothing is
/// decided before all children exist and are settled.
///
/// # Errors
/// [`Fault`] of the step that failed; what the steps before it did stays done.
pub fn run_once<S: Store + ?Sized>(store: &S, scope: Scope, source: &Source) -> Result<Report, Fault> {
    let mut report = Report::default();
    loop {
        let done = store.aggregate(&Step { scope, now: source.now(), limit: ROWS_PER_STEP })?;
        report.parents += u64::from(done.parents);
        report.runs += u64::from(done.runs);
        if !done.more {
            return Ok(report);
        }
    }
}
