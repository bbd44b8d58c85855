//! Explains cancels: the cause and the reason that the caller gave.

use super::snapshot::Snapshot;
use crate::StoreError;
use crate::backend::{ExplainRow, LatestEvents, ParentKey, PastEvent};
use conductor_model::{CancelCause, ErrorText, EventBody, StateReason};

/// Why a leaf is CANCELLED.
pub(super) fn cancelled_leaf(
    snapshot: &mut Snapshot<'_>,
    row: &ExplainRow,
) -> Result<StateReason, StoreError> {
    let Some((key, parent)) = row.key.task.zip(row.parent) else {
        return Ok(StateReason::Cancelled { cause: None, reason: None });
    };
    // An event from before the leaf was revived has another time.
    let own = snapshot.latest_event(LatestEvents::Cancel(row.key.run, key, row.updated_at))?;
    if let Some(reason) = own.and_then(reason_of) {
        return Ok(StateReason::Cancelled { cause: Some(CancelCause::Requested), reason: Some(reason) });
    }
    // It was cancelled with an ancestor, if one was being cancelled by then.
    if snapshot.ancestors().is_cancelling(parent) {
        let request = cancel_request(snapshot, parent, CancelCause::Ancestor)?;
        if request.as_ref().is_none_or(|request| request.at <= row.updated_at) {
            let reason = request.and_then(reason_of);
            return Ok(StateReason::Cancelled { cause: Some(CancelCause::Ancestor), reason });
        }
    }
    Ok(StateReason::Cancelled { cause: None, reason: None })
}

/// The reason of a cancel for this cause, as the caller gave it for this parent or for an ancestor.
pub(super) fn cancel_reason(
    snapshot: &mut Snapshot<'_>,
    parent: ParentKey,
    cause: CancelCause,
) -> Result<Option<ErrorText>, StoreError> {
    Ok(cancel_request(snapshot, parent, cause)?.and_then(reason_of))
}

/// The request to cancel this parent, or the ancestor that is its cause.
fn cancel_request(
    snapshot: &mut Snapshot<'_>,
    parent: ParentKey,
    cause: CancelCause,
) -> Result<Option<PastEvent>, StoreError> {
    let origin = match cause {
        CancelCause::Ancestor => snapshot.ancestors().cancel_origin(parent),
        _ => Some(parent),
    };
    match origin {
        Some(origin) => snapshot.latest_event(LatestEvents::CancelRequest(origin)),
        None => Ok(None),
    }
}

/// The reason that an event gives.
fn reason_of(event: PastEvent) -> Option<ErrorText> {
    match event.body? {
        EventBody::RunCancelRequested { reason, .. }
        | EventBody::TaskCancelRequested { reason, .. }
        | EventBody::TaskCancelled { reason } => reason,
        _ => None,
    }
}
