//! The health of a run or of all runs, and metrics of retries.

use super::stuck::wanted;
use crate::backend::{CountsWanted, ReadTx};
use crate::ops::scope::run_of_scope;
use crate::{Scope, StoreError, StuckThreshold};
use conductor_model::{HealthCounts, HealthReport, RetryMetrics};

/// See [`Monitor::health`](crate::Monitor::health).
pub(crate) fn health(
    tx: &mut dyn ReadTx,
    scope: Scope,
    threshold: StuckThreshold,
) -> Result<HealthReport, StoreError> {
    let run = run_of_scope(tx, scope)?;
    let wanted = [
        CountsWanted::States,
        CountsWanted::RetriesDue,
        CountsWanted::PermanentFailures,
        CountsWanted::Retries,
        CountsWanted::Stuck(wanted(threshold)),
    ];
    let counts = tx.counts(run, &wanted)?;
    Ok(HealthReport::of(HealthCounts {
        state_counts: counts.states,
        retries_due: counts.retries_due,
        failed_leaves: counts.failed_leaves,
        retries_exhausted: counts.retries_exhausted,
        retried_tasks: counts.retried_tasks,
        total_retries: counts.total_retries,
        stuck: counts.stuck,
    }))
}

/// See [`Monitor::retry_metrics`](crate::Monitor::retry_metrics).
pub(crate) fn retry_metrics(tx: &mut dyn ReadTx, scope: Scope) -> Result<RetryMetrics, StoreError> {
    let run = run_of_scope(tx, scope)?;
    let counts = tx.counts(run, &[CountsWanted::Retries, CountsWanted::PermanentFailures])?;
    Ok(RetryMetrics::of(
        counts.total_retries,
        counts.retried_tasks,
        counts.succeeded_after_retry,
        counts.retries_exhausted,
    ))
}
