//! The workers together.

use crate::{aggregate, fanout, retry, sweep};
use conductor_store::{Fault, Scope, Source, Store};

/// What [`settle_all`] came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// What was created.
    pub fanout: fanout::Report,
    /// What was decided.
    pub aggregate: aggregate::Report,
    /// What is tried again.
    pub retry: retry::Report,
    /// What was cancelled.
    pub sweep: sweep::Report,
}

/// Repeats sweep, fan-out, retry and aggregate until none of them has anything to do.
///
/// Afterwards everything that is not settled waits for somebody's work, for its time, or for an append.
///
/// # Errors
/// [`Fault`] of the step that failed; what the steps before it did stays done.
pub fn settle_all<S: Store + ?Sized>(store: &S, scope: Scope, source: &Source) -> Result<Settled, Fault> {
    let mut all = Settled::default();
    loop {
        let before = all;
        let sweep = sweep::run_once(store, scope, source)?;
        all.sweep.expired += sweep.expired;
        all.sweep.cancelled += sweep.cancelled;
        all.sweep.marked += sweep.marked;
        let fanout = fanout::run_once(store, scope, source)?;
        all.fanout.parents += fanout.parents;
        all.fanout.children += fanout.children;
        let retry = retry::run_once(store, scope, source)?;
        all.retry.retried += retry.retried;
        all.retry.promoted += retry.promoted;
        let aggregate = aggregate::run_once(store, scope, source)?;
        all.aggregate.parents += aggregate.parents;
        all.aggregate.runs += aggregate.runs;
        if all == before {
            return Ok(all);
        }
    }
}
