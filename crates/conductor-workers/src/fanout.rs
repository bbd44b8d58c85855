//! Creates the children that are missing.

use crate::ROWS_PER_STEP;
use conductor_store::{FanOut, Fault, Scope, Source, Store};

/// What a fan-out came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How often a parent got children; one with many gets them in several steps.
    pub parents: u64,
    /// How many children were created.
    pub children: u64,
}

/// Creates the children of every parent in the scope that asks for some: `NAME#1` … `NAME#N`.
///
/// Running it again, or twice at once, creates only what is missing.
///
/// # Errors
/// [`Fault`] of the step that failed; what the steps before it did stays done.
pub fn run_once<S: Store + ?Sized>(store: &S, scope: Scope, source: &Source) -> Result<Report, Fault> {
    let mut report = Report::default();
    loop {
        let step = FanOut { scope, now: source.now(), ids: source.ids(ROWS_PER_STEP) };
        let done = store.fan_out(&step)?;
        report.parents += u64::from(done.parents);
        report.children += u64::from(done.children);
        if !done.more {
            return Ok(report);
        }
    }
}
