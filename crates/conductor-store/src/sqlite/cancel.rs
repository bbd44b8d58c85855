//! Cancel a task with all below it, or a run.

use super::SqliteStore;
use super::aggregate::{decide_parent, decide_run};
use super::ledger::Place;
use super::sql::run_key;
use super::task_row::TaskRow;
use super::transit::{Brings, TransitError};
use super::write::Write;
use crate::{Cancel, CancelError, CancelOutcome, NodeId};
use conductor_model::{CancelCause, Decision, ErrorText, NodeType, Signal, State};

impl SqliteStore {
    pub(super) fn cancel_target(&self, request: &Cancel) -> Result<CancelOutcome, CancelError> {
        let unknown = || CancelError::NotFound(request.target);
        let reason = request.reason.as_ref();
        self.write(request.now, |write| match request.target {
            NodeId::Task(id) => {
                let task = TaskRow::by_id(write.tx(), id)?.ok_or_else(unknown)?;
                match task.shape {
                    NodeType::Leaf => cancel_leaf(write, request.target, task, reason),
                    NodeType::Parent | NodeType::Run => mark(write, request.target, task.below(), reason),
                }
            }
            NodeId::Run(id) => {
                let run = run_key(write.tx(), id)?.ok_or_else(unknown)?;
                mark(write, request.target, Place::child(run, 0), reason)
            }
        })
    }
}

fn cancel_leaf(
    write: &mut Write<'_>,
    target: NodeId,
    mut task: TaskRow,
    reason: Option<&ErrorText>,
) -> Result<CancelOutcome, CancelError> {
    if task.state == State::Cancelled {
        return Ok(CancelOutcome::Unchanged);
    }
    let state = task.state;
    match write.transit(&mut task, Signal::Cancel, Brings { reason, ..Brings::default() }) {
        Ok(()) => Ok(CancelOutcome::Cancelled),
        Err(TransitError::Illegal(_)) => Err(CancelError::AlreadySettled { target, state }),
        Err(TransitError::StoreError(fault)) => Err(fault.into()),
    }
}

/// Marks the head of a family, unless that can be decided: then it is.
fn mark(
    write: &mut Write<'_>,
    target: NodeId,
    family: Place,
    reason: Option<&ErrorText>,
) -> Result<CancelOutcome, CancelError> {
    let (tx, ledger, now) = write.parts();
    let head = *ledger.head(tx, family)?;
    match head.state {
        State::Cancelled => return Ok(CancelOutcome::Unchanged),
        state if state.is_terminal() => return Err(CancelError::AlreadySettled { target, state }),
        _ if head.standing.cancel_cause.is_some() => return Ok(CancelOutcome::Unchanged),
        _ => {}
    }
    let decision = head.standing.decide();
    if !matches!(decision, Decision::Settle(_)) {
        ledger.mark(tx, family, now, CancelCause::Requested, reason)?;
    }
    // What is decidable is decided; and so is what is marked, if nothing below it is open.
    match family.parent {
        0 => decide_run(write, family.run)?,
        parent => decide_parent(write, parent)?,
    };
    Ok(match decision {
        Decision::Settle(state) => CancelOutcome::AlreadySettled(state),
        _ => CancelOutcome::Requested,
    })
}
