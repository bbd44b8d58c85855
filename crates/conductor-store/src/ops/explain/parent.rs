//! Explains the state of a parent or a run.

use super::cancellation::cancel_reason;
use super::snapshot::Snapshot;
use crate::StoreError;
use crate::backend::{ChildWanted, ExplainRow};
use conductor_model::{
    CancelCause, ChildCounts, Decision, JoinStatus, ParentStatus, State, StateReason, Timestamp,
};

/// Why a parent or a run is in its state.
pub(super) fn reason(
    snapshot: &mut Snapshot<'_>,
    row: &ExplainRow,
    status: &ParentStatus,
) -> Result<StateReason, StoreError> {
    let cause = match status.cancel_cause {
        None if !row.state.is_terminal() && snapshot.ancestors().is_cancelling(row.key) => {
            Some(CancelCause::Ancestor)
        }
        cause => cause,
    };
    Ok(match (row.state, cause, row.due_at) {
        (State::Succeeded, ..) => StateReason::Succeeded,
        (State::Failed, ..) => failed(row, status),
        (State::Cancelled, cause, _) => {
            let reason = cause.map(|cause| cancel_reason(snapshot, row.key, cause)).transpose()?.flatten();
            StateReason::Cancelled { cause, reason }
        }
        (_, Some(cause), _) => {
            let (reason, open) = (cancel_reason(snapshot, row.key, cause)?, status.counts.open);
            StateReason::BeingCancelled { cause, reason, open, engines: snapshot.engine_count()? }
        }
        (_, None, Some(until)) => {
            StateReason::Delayed { until, engines: snapshot.engine_count_since(until)? }
        }
        (_, None, None) => waiting(snapshot, status, row.updated_at)?,
    })
}

/// Why it is FAILED: by itself, such as by an input that was changed; by its join; or by its children.
fn failed(row: &ExplainRow, status: &ParentStatus) -> StateReason {
    match &row.last_error {
        // Without its join it would not have failed.
        None if status.cancel_cause.is_none() && status.policy.tolerates(status.counts) => {
            StateReason::JoinFailed
        }
        error => StateReason::Failed { error: error.clone(), failed_children: status.counts.failed },
    }
}

/// What it waits for.
fn waiting(
    snapshot: &mut Snapshot<'_>,
    status: &ParentStatus,
    since: Timestamp,
) -> Result<StateReason, StoreError> {
    let ChildCounts { total, created: children, open, .. } = status.counts;
    Ok(match (status.decide(), status.join, total) {
        (Decision::Wait, JoinStatus::Open, _) => StateReason::WaitingForJoin,
        // A fail-fast parent was revived beside an older failure, and continues like any other.
        (Decision::Wait | Decision::CancelOpenChildren(_), _, Some(total)) if children < total => {
            StateReason::CreatingChildren { children, total, since, engines: snapshot.engine_count()? }
        }
        (Decision::Wait | Decision::CancelOpenChildren(_), _, None) if open == 0 => {
            StateReason::WaitingForAppend { children, since }
        }
        (Decision::Wait | Decision::CancelOpenChildren(_), ..) => {
            StateReason::WaitingForChildren { open, children }
        }
        _ => StateReason::ReadyToAggregate { since, engines: snapshot.engine_count()? },
    })
}

/// The child that causes the state, or the join.
pub(super) fn cause(
    snapshot: &mut Snapshot<'_>,
    row: &ExplainRow,
    status: &ParentStatus,
    reason: &StateReason,
) -> Result<Option<ExplainRow>, StoreError> {
    match reason {
        StateReason::Failed { error: None, .. } => snapshot.child(row.key, ChildWanted::Failed),
        StateReason::JoinFailed => join_settled_as(snapshot, row, State::Failed),
        // Without a cause, cancelled children cancelled it, and before its join was run.
        StateReason::Cancelled { cause: None, .. } if status.counts.cancelled > 0 => {
            snapshot.child(row.key, ChildWanted::Cancelled)
        }
        StateReason::Cancelled { cause: None, .. } => join_settled_as(snapshot, row, State::Cancelled),
        StateReason::WaitingForJoin | StateReason::BeingCancelled { open: 0, .. }
            if status.join == JoinStatus::Open =>
        {
            snapshot.child(row.key, ChildWanted::Join)
        }
        StateReason::WaitingForChildren { .. } | StateReason::BeingCancelled { .. } => {
            snapshot.child(row.key, ChildWanted::Open)
        }
        _ => Ok(None),
    }
}

/// The join, if it was settled in this state.
fn join_settled_as(
    snapshot: &mut Snapshot<'_>,
    row: &ExplainRow,
    state: State,
) -> Result<Option<ExplainRow>, StoreError> {
    let join = snapshot.child(row.key, ChildWanted::Join)?;
    Ok(join.filter(|join| join.state == state && join.due_at.is_none()))
}
