//! The workers together.

use crate::{aggregate, fanout, retry, sweep};
use conductor_store::{Environment, Scope, Store, StoreError};

/// What [`run_steps_until_idle`] came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTotals {
    /// What was created.
    pub fanout: fanout::FanOutTotals,
    /// What was decided.
    pub aggregate: aggregate::AggregateTotals,
    /// What is tried again.
    pub retry: retry::RetryTotals,
    /// What was cancelled.
    pub sweep: sweep::SweepTotals,
}

/// Repeats sweep, fan-out, retry and aggregate until none of them has anything to do.
///
/// Afterwards everything that is not settled waits for somebody's work, for its time, or for an append.
///
/// # Errors
/// [`StoreError`] of the step that failed; what the steps before it did stays done.
pub fn run_steps_until_idle<S: Store + ?Sized>(
    store: &S,
    scope: Scope,
    env: &Environment,
) -> Result<StepTotals, StoreError> {
    let mut all = StepTotals::default();
    loop {
        let before = all;
        let sweep = sweep::run_once(store, scope, env)?;
        all.sweep.expired += sweep.expired;
        all.sweep.cancelled += sweep.cancelled;
        all.sweep.marked += sweep.marked;
        let fanout = fanout::run_once(store, scope, env)?;
        all.fanout.parents += fanout.parents;
        all.fanout.children += fanout.children;
        let retry = retry::run_once(store, scope, env)?;
        all.retry.retried += retry.retried;
        all.retry.promoted += retry.promoted;
        let aggregate = aggregate::run_once(store, scope, env)?;
        all.aggregate.parents += aggregate.parents;
        all.aggregate.runs += aggregate.runs;
        if all == before {
            return Ok(all);
        }
    }
}
