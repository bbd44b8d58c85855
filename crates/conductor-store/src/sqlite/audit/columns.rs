//! Maps the columns of tasks and runs to values that need not be valid.

use crate::backend::{AuditTask, ParentColumns, RunColumns, StoredPosition, TaskColumns};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::keys::{key, parent_task};
use conductor_model::{RunId, TaskId};
use rusqlite::Row;
use rusqlite::types::Value;

/// The columns of [`task`].
macro_rules! task_columns {
    () => {
        "key, id, run, parent, ordinal, state, due_at, attempt, retry_count, lease_until, holder, \
        sealed, fanout, children, open_children, failed_children, cancelled_children, policy, mark, joining, swept, \
        CASE WHEN NOT EXISTS (SELECT 1 FROM conductor_kinds k WHERE k.key = conductor_tasks.kind) THEN kind END, \
        EXISTS (SELECT 1 FROM conductor_inputs i WHERE i.task = conductor_tasks.key)"
    };
}
pub(super) use task_columns;

/// The columns of [`run`].
pub(super) const RUN: &str = "SELECT id, state, pending, running, succeeded, failed, cancelled, \
    sealed, fanout, children, open_children, failed_children, cancelled_children, policy, mark, joining, swept \
    FROM conductor_runs WHERE key = ?1";

/// Reads a task.
pub(super) fn task(row: &Row<'_>) -> rusqlite::Result<AuditTask> {
    let columns = TaskColumns {
        id: columns::id(row, 1).ok().map(TaskId::from_u128),
        run: key(row, 2)?,
        position: StoredPosition { parent: parent_task(row, 3)?, index: row.get(4)? },
        state: row.get(5)?,
        due_at: row.get(6)?,
        attempt: row.get(7)?,
        retry_count: row.get(8)?,
        lease_until: row.get(9)?,
        engine: row.get(10)?,
        as_parent: parent(row, 11)?,
        swept: row.get(20)?,
    };
    Ok(AuditTask { key: key(row, 0)?, row: columns, unknown_kind: row.get(21)?, has_input: row.get(22)? })
}

/// Reads a run.
pub(super) fn run(row: &Row<'_>) -> rusqlite::Result<RunColumns> {
    Ok(RunColumns {
        id: columns::id(row, 0).ok().map(RunId::from_u128),
        state: row.get(1)?,
        state_counts: [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?],
        as_parent: parent(row, 7)?,
        swept: row.get(16)?,
    })
}

/// Nine columns: sealed, fanout, children, open, failed, cancelled, policy, mark, joining.
fn parent(row: &Row<'_>, column: usize) -> rusqlite::Result<ParentColumns> {
    Ok(ParentColumns {
        sealed: row.get(column)?,
        total: row.get(column + 1)?,
        created: row.get(column + 2)?,
        open: row.get(column + 3)?,
        failed: row.get(column + 4)?,
        cancelled: row.get(column + 5)?,
        policy: columns::any_text(row, column + 6)?,
        cancel_cause: row.get(column + 7)?,
        join_open: row.get(column + 8)?,
    })
}

/// The values of the same nine columns.
pub(super) fn parent_values(columns: &ParentColumns) -> [Value; 9] {
    let ParentColumns { sealed, total, created, open, failed, cancelled, policy, cancel_cause, join_open } =
        columns;
    [
        sealed.map(i64::from).into(),
        (*total).into(),
        (*created).into(),
        (*open).into(),
        (*failed).into(),
        (*cancelled).into(),
        policy.clone().into(),
        (*cancel_cause).into(),
        join_open.map(i64::from).into(),
    ]
}
