//! The summary of a run.

use crate::backend::{CountsWanted, ParentKey, ReadTx};
use crate::ops::scope::find_run;
use crate::{StoreError, StuckThreshold};
use conductor_model::{RunId, RunSummary};

/// See [`Monitor::summary`](crate::Monitor::summary).
pub(crate) fn summary(
    tx: &mut dyn ReadTx,
    run: RunId,
    threshold: StuckThreshold,
) -> Result<Option<RunSummary>, StoreError> {
    let Some(key) = find_run(tx, run)? else { return Ok(None) };
    let Some(row) = tx.explain_rows(&[ParentKey::run(key)])?.pop().flatten() else { return Ok(None) };
    let counts = tx.counts(Some(key), &[CountsWanted::States, CountsWanted::Events])?;
    let end = if row.state.is_terminal() { row.updated_at } else { threshold.now };
    Ok(Some(RunSummary {
        run,
        state: row.state,
        duration_ms: end.millis_since(row.created_at),
        state_counts: counts.states,
        events: counts.events,
        fan_outs: counts.fan_out_events,
        aggregates: counts.aggregate_events,
        retries: counts.retry_events,
    }))
}
