//! The workers together.

pub mod aggregate;
pub mod fan_out;
pub mod prune;
pub mod retry;
mod revive;
pub mod sweep;

pub use aggregate::AggregateTotals;
pub use fan_out::FanOutTotals;
pub use prune::PruneTotals;
pub use retry::RetryTotals;
pub use revive::revive_all;
pub use sweep::SweepTotals;

use conductor_store::{Environment, Scope, Store, StoreError};

/// What [`run_steps_until_idle`] came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTotals {
    /// What was created.
    pub fan_out: FanOutTotals,
    /// What was decided.
    pub aggregate: AggregateTotals,
    /// What is tried again.
    pub retry: RetryTotals,
    /// What was cancelled.
    pub sweep: SweepTotals,
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
        let fan_out = fan_out::run_once(store, scope, env)?;
        all.fan_out.parents += fan_out.parents;
        all.fan_out.children += fan_out.children;
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
