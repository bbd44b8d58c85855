//! The columns that a repair writes.

use crate::StoreError;
use crate::backend::{AuditTask, AuditTasks, ReadTx, RunColumns, TaskColumns, TaskKey};
use crate::ops::verify::{RunAudit, may_be_delayed, parent_columns, position};
use conductor_model::{ReplayedRun, RunReplayTask, State, TaskId, Timestamp};

/// The task with this key, in any run.
pub(super) fn find_task(tx: &mut dyn ReadTx, key: TaskKey) -> Result<Option<AuditTask>, StoreError> {
    Ok(tx.audit_tasks(AuditTasks::Keys(&[key]))?.pop())
}

/// Whether a task is a leaf whose attempt runs.
pub(super) fn is_running_leaf(task: &RunReplayTask) -> bool {
    task.status.is_none() && task.state == State::Running
}

/// Whether an attempt runs according to the events, and its row has nothing of it: its worker is unknown.
pub(super) fn has_lost_worker(row: &TaskColumns, task: &RunReplayTask) -> bool {
    is_running_leaf(task) && row.state != State::Running.code() && row.lease_until.is_none()
}

/// The columns of a task whose row exists, as they follow from the events.
pub(super) fn repaired_columns(
    row: &TaskColumns,
    audit: &RunAudit,
    (id, task): (TaskId, &RunReplayTask),
    now: Timestamp,
) -> Result<TaskColumns, StoreError> {
    let is_leaf = task.status.is_none();
    let keeps_lease = is_running_leaf(task);
    let lease_until = row.lease_until.filter(|_| keeps_lease);
    let restored = restored_columns(audit, (id, task), now)?;
    Ok(TaskColumns {
        due_at: due_at(Some(row), task, now),
        attempt: if is_leaf { restored.attempt } else { row.attempt },
        lease_until: if has_lost_worker(row, task) { Some(now.as_millis()) } else { lease_until },
        engine: row.engine.filter(|_| keeps_lease),
        ..restored
    })
}

/// The columns of a task whose row is missing, as they follow from the events.
pub(super) fn restored_columns(
    audit: &RunAudit,
    (id, task): (TaskId, &RunReplayTask),
    now: Timestamp,
) -> Result<TaskColumns, StoreError> {
    let as_parent = parent_columns(task.status)?;
    Ok(TaskColumns {
        run: audit.run,
        id: Some(id),
        position: position(audit, task),
        state: task.state.code(),
        due_at: due_at(None, task, now),
        attempt: i64::from(task.attempt),
        retry_count: i64::from(task.retry_count),
        // Its worker is unknown: the next rescue treats its lease as expired.
        lease_until: is_running_leaf(task).then_some(now.as_millis()),
        engine: None,
        // What was swept is swept again.
        swept: as_parent.cancel_cause.map(|_| 0),
        as_parent,
    })
}

/// When a task must be looked at again.
fn due_at(row: Option<&TaskColumns>, task: &RunReplayTask, now: Timestamp) -> Option<i64> {
    let stored = |state: State| row.filter(|row| row.state == state.code()).and_then(|row| row.due_at);
    match task.state {
        State::Pending if may_be_delayed(task) => stored(State::Pending),
        State::Failed if task.retry_scheduled => {
            let computed = task.due_at.map(Timestamp::as_millis);
            computed.or_else(|| stored(State::Failed)).or(Some(now.as_millis()))
        }
        _ => None,
    }
}

/// The columns of a run, as they follow from the events.
pub(super) fn run_columns(row: &RunColumns, run: &ReplayedRun) -> Result<RunColumns, StoreError> {
    let as_parent = parent_columns(Some(run.status))?;
    Ok(RunColumns {
        id: row.id,
        state: run.state.code(),
        state_counts: State::ALL.map(|state| run.state_counts.of(state).cast_signed()),
        swept: as_parent.cancel_cause.map(|_| 0),
        as_parent,
    })
}
