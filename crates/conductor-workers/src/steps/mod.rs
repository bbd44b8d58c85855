//! The steps, for programs that do the work of tasks without an engine.
//!
//! Each step is one bounded transaction of background work. A pass (`run_once`) repeats a step until nothing is left to do.
//! Passes can be stopped, killed, repeated and run concurrently.
//!
//! | module | the step |
//! |---|---|
//! | [`fan_out`] | creates missing children |
//! | [`retry`] | makes failed tasks PENDING when their retry is due, and lets delayed tasks start |
//! | [`sweep`] | cancels the open tasks of runs and parents that are being cancelled |
//! | [`aggregate`] | decides parents and runs whose children are settled |
//! | [`prune`] | deletes runs that settled long ago |

pub mod aggregate;
mod drain;
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
use drain::drain;

/// The totals of [`run_steps_until_idle`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTotals {
    /// Created children.
    pub fan_out: FanOutTotals,
    /// Decided parents and runs.
    pub aggregate: AggregateTotals,
    /// Retried and promoted tasks.
    pub retry: RetryTotals,
    /// Cancelled tasks.
    pub sweep: SweepTotals,
}

/// Repeats passes of sweep, fan-out, retry and aggregate until none of them changes a row.
///
/// Afterwards each task that has not settled waits for a worker, for its due time, or for an append.
///
/// # Errors
/// [`StoreError`] of the failed step; earlier steps remain.
pub fn run_steps_until_idle<S: Store + ?Sized>(
    store: &S,
    scope: Scope,
    env: &Environment,
) -> Result<StepTotals, StoreError> {
    let mut totals = StepTotals::default();
    drain(|| {
        let before = totals;
        // Also first, because it may give a parent a cancel cause, which no total shows.
        totals.aggregate += aggregate::run_once(store, scope, env)?;
        totals.sweep += sweep::run_once(store, scope, env)?;
        totals.fan_out += fan_out::run_once(store, scope, env)?;
        totals.retry += retry::run_once(store, scope, env)?;
        totals.aggregate += aggregate::run_once(store, scope, env)?;
        Ok(totals != before)
    })?;
    Ok(totals)
}
