//! Cancels a task with all below it, or a run.

use crate::backend::{Node, ParentKey, TaskGroup};
use crate::ops::scope::find_run;
use crate::ops::tx::{
    LeafChange, LeafEvent, Transaction, TransitionError, change_leaves, corrupt_task, decide, find_task,
    load_parent, require_parent, set_cancel_cause,
};
use crate::{Cancel, CancelError, CancelOutcome, NodeId};
use conductor_model::{CancelCause, CancelVerdict, ErrorText, EventBody, Signal, State, judge_cancel};

pub(crate) fn cancel(t: &mut Transaction<'_, '_>, request: &Cancel) -> Result<CancelOutcome, CancelError> {
    let (target, reason) = (request.target, request.reason.as_ref());
    let unknown = || CancelError::NotFound(target);
    match target {
        NodeId::Run(id) => {
            let run = find_run(t.store()?, id)?.ok_or_else(unknown)?;
            cancel_parent(t, target, ParentKey::run(run), reason)
        }
        NodeId::Task(id) => match find_task(t, id)?.ok_or_else(unknown)? {
            Node::Leaves(leaf) => cancel_leaf(t, target, &leaf, reason),
            Node::Parent(Ok(row)) => cancel_parent(t, target, row.node.key, reason),
            Node::Parent(Err(corrupt)) => cancel_parent(t, target, corrupt.key, reason),
            Node::Corrupt(corrupt) => Err(corrupt_task(corrupt.key, &corrupt.reason).into()),
        },
    }
}

fn cancel_leaf(
    t: &mut Transaction<'_, '_>,
    target: NodeId,
    leaf: &TaskGroup,
    reason: Option<&ErrorText>,
) -> Result<CancelOutcome, CancelError> {
    let state = leaf.status.state;
    if state == State::Cancelled {
        return Ok(CancelOutcome::Unchanged);
    }
    let event = match reason {
        Some(reason) => LeafEvent::Body(EventBody::TaskCancelled { reason: Some(reason.clone()) }),
        None => LeafEvent::OfTransition,
    };
    match change_leaves(t, leaf, LeafChange { event, ..LeafChange::of(Signal::Cancel) }) {
        Ok(_) => Ok(CancelOutcome::Cancelled),
        Err(TransitionError::Illegal(_)) => Err(CancelError::AlreadySettled { target, state }),
        Err(TransitionError::Store(error)) => Err(error.into()),
    }
}

/// Gives a parent or a run a cancel cause, unless it can be decided: then it is.
fn cancel_parent(
    t: &mut Transaction<'_, '_>,
    target: NodeId,
    key: ParentKey,
    reason: Option<&ErrorText>,
) -> Result<CancelOutcome, CancelError> {
    let mut row = require_parent(t, key)?;
    let outcome = match judge_cancel(row.node.state, row.status) {
        CancelVerdict::Unchanged => return Ok(CancelOutcome::Unchanged),
        CancelVerdict::Settled => {
            return Err(CancelError::AlreadySettled { target, state: row.node.state });
        }
        CancelVerdict::Request => {
            set_cancel_cause(t, &mut row, CancelCause::Requested, reason);
            CancelOutcome::Requested
        }
        CancelVerdict::Decide(state) => CancelOutcome::AlreadySettled(state),
    };
    // What can be decided is decided: also what is being cancelled, if nothing below it is open.
    if let Some(row) = load_parent(t, key)? {
        decide(t, &mut [row])?;
    }
    Ok(outcome)
}
