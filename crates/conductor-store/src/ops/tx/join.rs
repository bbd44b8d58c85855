//! Starts the join of a parent or a run.

use super::leaves::{LeafChange, change_leaves};
use super::parents_write::push_row;
use super::transaction::Transaction;
use crate::backend::{
    CorruptParent, JoinRow, NewBlock, NewEvent, Node, ParentRow, PlannedJoin, Position, TaskGroup, TaskKey,
};
use crate::{NodeId, StoreError};
use conductor_model::{EventBody, JoinStatus, Policy, Signal, State};

/// Makes the join of a parent or a run ready. `key` is a new key for its task.
///
/// The caller has found that the children are settled and that the policy is satisfied.
pub(super) fn start_join(
    t: &mut Transaction<'_, '_>,
    row: &mut ParentRow,
    join: JoinRow,
    key: TaskKey,
) -> Result<(), StoreError> {
    let reason = match (join.task, join.planned) {
        (Some(Node::Leaves(task)), _) => return continue_join(t, row, &task),
        (Some(Node::Parent(_)), _) => "it was made a parent".into(),
        (Some(Node::Corrupt(corrupt)), _) => corrupt.reason,
        (None, Some(Err(reason))) => reason,
        (None, Some(Ok(planned))) => return insert_join(t, row, &planned, key),
        (None, None) => "the plan of a join is missing".into(),
    };
    note_changed_join(t, row, &reason);
    Ok(())
}

/// Notes that the join of a parent or a run cannot start. It fails at the end of the transaction.
fn note_changed_join(t: &mut Transaction<'_, '_>, row: &ParentRow, reason: &str) {
    let (key, node) = (row.node.key, Some(Box::new(row.node)));
    let reason = format!("its join was changed: {reason}");
    t.corrupt.insert(key, CorruptParent { key, node, reason });
}

fn insert_join(
    t: &mut Transaction<'_, '_>,
    row: &mut ParentRow,
    planned: &PlannedJoin,
    key: TaskKey,
) -> Result<(), StoreError> {
    let parent = row.node.key;
    let name = [planned.kind.as_str()];
    let block = NewBlock {
        first_key: key,
        first_id: planned.id,
        first_index: 0,
        count: 1,
        position: Position { parent, is_join: true },
        kind: &planned.kind,
        priority: planned.priority,
        max_retries: planned.max_retries,
        backoff: planned.backoff,
        timeout_ms: planned.timeout_ms,
        due_at: None,
        // The join of a run is named after its kind.
        names: if parent.task.is_none() { &name } else { &[] },
        inputs: &[],
        parent: None,
    };
    match t.store()?.insert(None, &[block]) {
        Err(StoreError::CorruptRow { reason, .. }) => {
            note_changed_join(t, row, &reason);
            return Ok(());
        }
        inserted => inserted?,
    }
    let id = match row.node.id {
        NodeId::Task(id) => Some(id),
        NodeId::Run(_) => None,
    };
    let body =
        EventBody::TaskCreated { index: 0, parent: id, fanout: None, policy: Policy::Fail, has_join: false };
    t.push_event(NewEvent::Task(parent.run, key, body));
    set_join_status(t, row, JoinStatus::Open);
    Ok(())
}

/// Goes on with the task of a join that exists: one that settled before its parent was revived runs again.
///
/// Otherwise another program changed the status of the join.
fn continue_join(
    t: &mut Transaction<'_, '_>,
    row: &mut ParentRow,
    join: &TaskGroup,
) -> Result<(), StoreError> {
    let key = join.block.base.plus(join.first().unwrap_or(0));
    if !join.status.is_settled() {
        set_join_status(t, row, JoinStatus::Open);
    } else if join.status.state == State::Succeeded {
        decide_by_join(t, row, JoinStatus::Settled(State::Succeeded));
    } else {
        let revived = change_leaves(t, join, LeafChange::of(Signal::Revive));
        revived.map_err(|error| error.in_step(key))?;
    }
    Ok(())
}

/// Writes the status of the settled join of a parent or a run, which is decided by it.
pub(crate) fn decide_by_join(t: &mut Transaction<'_, '_>, row: &mut ParentRow, status: JoinStatus) {
    set_join_status(t, row, status);
    t.ended_joins.push(row.node.key);
}

/// Writes the status of the join of a parent or a run.
fn set_join_status(t: &mut Transaction<'_, '_>, row: &mut ParentRow, status: JoinStatus) {
    row.status.join = status;
    push_row(t, row);
}
