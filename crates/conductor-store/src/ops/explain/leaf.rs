//! Explains the state of a leaf.

use super::cancellation::{cancel_reason, cancelled_leaf};
use super::snapshot::Snapshot;
use crate::StoreError;
use crate::backend::{ClaimsWanted, ExplainRow, LeafDetail};
use conductor_model::{CancelCause, LeaseLosses, NodeStatus, NodeType, State, StateReason, Timestamp};

/// Why a leaf is in its state.
pub(super) fn reason(
    snapshot: &mut Snapshot<'_>,
    row: &ExplainRow,
    leaf: &LeafDetail,
) -> Result<StateReason, StoreError> {
    let status =
        NodeStatus { node_type: NodeType::Leaf, state: row.state, retry_scheduled: row.due_at.is_some() };
    if let Some(parent) = row.parent
        && !status.is_settled()
        && snapshot.ancestors().is_cancelling(parent)
    {
        let cause = CancelCause::Ancestor;
        let reason = cancel_reason(snapshot, parent, cause)?;
        return Ok(StateReason::BeingCancelled { cause, reason, open: 0, engines: snapshot.engine_count()? });
    }
    Ok(match (row.state, row.due_at, leaf.lease_until) {
        (State::Succeeded, ..) => StateReason::Succeeded,
        (State::Failed, Some(at), _) => StateReason::RetryDue {
            at,
            retry_count: leaf.retry_count,
            max_retries: leaf.max_retries,
            error: row.last_error.clone(),
            engines: snapshot.engine_count_since(at)?,
        },
        (State::Failed, None, _) => StateReason::Failed { error: row.last_error.clone(), failed_children: 0 },
        (State::Cancelled, ..) => cancelled_leaf(snapshot, row)?,
        (State::Running, _, Some(until)) => claimed(snapshot, row, leaf, until)?,
        (State::Running, _, None) => StateReason::RunningExternally { since: row.updated_at },
        (State::Pending, Some(until), _) => {
            StateReason::Delayed { until, engines: snapshot.engine_count_since(until)? }
        }
        (State::Pending, None, _) => ready(snapshot, row, leaf)?,
    })
}

/// Which engine has claimed a leaf, and whether the next rescue fails the attempt.
fn claimed(
    snapshot: &mut Snapshot<'_>,
    row: &ExplainRow,
    leaf: &LeafDetail,
    until: Timestamp,
) -> Result<StateReason, StoreError> {
    let engine_alive = snapshot.live_engines()?.iter().any(|engine| Some(engine.id) == leaf.engine);
    let engines =
        if engine_alive { snapshot.engine_count_since(until)? } else { Some(snapshot.engine_count()?) };
    let (engine, attempt, heartbeat) = (leaf.engine, leaf.attempt, row.updated_at);
    Ok(StateReason::Claimed { engine, engine_alive, attempt, until, heartbeat, engines })
}

/// Why a leaf that is ready has not been claimed: what the engines that live handle, and how much of it they run.
fn ready(
    snapshot: &mut Snapshot<'_>,
    row: &ExplainRow,
    leaf: &LeafDetail,
) -> Result<StateReason, StoreError> {
    let (kind, since) = (leaf.kind.clone(), row.updated_at);
    let handling: Vec<_> = snapshot
        .live_engines()?
        .iter()
        .filter_map(|engine| Some((engine.key, engine.capabilities.limit_of(&kind)?)))
        .collect();
    if handling.is_empty() {
        return Ok(StateReason::NoEngineForKind { kind, since });
    }
    let engines: Vec<_> = handling.iter().map(|(engine, _)| *engine).collect();
    let max = handling.iter().map(|(_, limit)| *limit).max().unwrap_or(0);
    let wanted = ClaimsWanted::Engines { engines: &engines, kind: Some(&kind), limit: max };
    let claims = snapshot.claims(&wanted)?;
    let is_full = |(engine, limit): &(_, u32)| {
        let running = claims.iter().filter(|claim| claim.engine == Some(*engine)).count();
        running >= *limit as usize
    };
    if handling.iter().all(is_full) {
        let limit = handling.iter().fold(0_u32, |sum, (_, limit)| sum.saturating_add(*limit));
        return Ok(StateReason::AtConcurrencyLimit { kind, limit, since });
    }
    let engines = u32::try_from(engines.len()).unwrap_or(u32::MAX);
    let isolated = leaf.lease_losses == Some(LeaseLosses::Isolate);
    Ok(StateReason::Ready { since, engines, isolated })
}
