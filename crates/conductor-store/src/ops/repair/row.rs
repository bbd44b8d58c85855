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
fn is_running_leaf(task: &RunReplayTask) -> bool {
    task.status.is_none() && task.state == State::Running
}

/// Whether an attempt runs according to the events, and its row has nothing of it or is missing: its worker is unknown.
pub(super) fn has_lost_worker(row: Option<&TaskColumns>, task: &RunReplayTask) -> bool {
    let says_nothing = |row: &TaskColumns| row.state != State::Running.code() && row.lease_until.is_none();
    is_running_leaf(task) && row.is_none_or(says_nothing)
}

/// The columns of a task, as they follow from the events and from its row, which may be missing.
pub(super) fn task_columns(
    row: Option<&TaskColumns>,
    audit: &RunAudit,
    (id, task): (TaskId, &RunReplayTask),
    now: Timestamp,
) -> Result<TaskColumns, StoreError> {
    let as_parent = parent_columns(task.status)?;
    let is_parent = task.status.is_some();
    // The next rescue treats the lease of an unknown worker as expired.
    let lease_until = has_lost_worker(row, task).then_some(now.as_millis());
    let claimed = row.filter(|_| is_running_leaf(task));
    Ok(TaskColumns {
        run: audit.run,
        id: Some(id),
        position: position(audit, task),
        state: task.state.code(),
        due_at: due_at(row, task, now),
        attempt: row.filter(|_| is_parent).map_or(i64::from(task.attempt), |row| row.attempt),
        retry_count: i64::from(task.retry_count),
        lease_until: lease_until.or(claimed.and_then(|row| row.lease_until)),
        engine: claimed.and_then(|row| row.engine),
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
