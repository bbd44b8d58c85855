//! Runs and tasks with all that explains their states.

use crate::backend::{ExplainDetail, ExplainRow, LeafDetail, ParentKey, RunKey, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::keys::{self, RowKey};
use conductor_model::{EngineId, ErrorText, ExplainTarget, RunId, TaskId, TaskName, Timestamp};
use rusqlite::{Connection, Row};

/// See [`ReadTx::explain_rows`](crate::backend::ReadTx::explain_rows).
pub(crate) fn explain_rows(connection: &Connection, keys: &[ParentKey]) -> Result<Vec<Option<ExplainRow>>> {
    let read = |key: &ParentKey| match key.task {
        None => connection.first(SELECT_RUN, [key.run.row()], |row| explain_run(row, key.run)),
        Some(task) => connection.first(SELECT_TASK, [task.row()], |row| explain_task(row, task)),
    };
    keys.iter().map(read).collect()
}

fn explain_run(row: &Row<'_>, run: RunKey) -> rusqlite::Result<ExplainRow> {
    Ok(ExplainRow {
        target: ExplainTarget::Run(RunId::from_u128(columns::id(row, 0)?)),
        key: ParentKey::run(run),
        parent: None,
        state: columns::state(row, 1)?,
        created_at: columns::timestamp(row, 12)?,
        updated_at: columns::timestamp(row, 11)?,
        due_at: None,
        last_error: None,
        detail: ExplainDetail::Parent(columns::parent_status(row, columns::run_child_counts(row, 2)?, 8)?),
    })
}

fn explain_task(row: &Row<'_>, key: TaskKey) -> rusqlite::Result<ExplainRow> {
    let id = TaskId::from_u128(columns::id(row, 0)?);
    let name: TaskName = columns::text(row, 1)?.ok_or(rusqlite::Error::InvalidQuery)?;
    let run = keys::key(row, 7)?;
    let detail = match columns::child_counts(row, 9)? {
        Some(counts) => ExplainDetail::Parent(columns::parent_status(row, counts, 15)?),
        None => ExplainDetail::Leaf(leaf_detail(row)?),
    };
    Ok(ExplainRow {
        target: ExplainTarget::Task { id, name },
        key: ParentKey::task(run, key),
        parent: Some(keys::parent_key(run, row, 8)?),
        state: columns::state(row, 4)?,
        created_at: columns::readable_due_at(row, 25)?.unwrap_or(Timestamp::MIN),
        updated_at: columns::timestamp(row, 5)?,
        due_at: columns::readable_due_at(row, 6)?,
        last_error: row.get::<_, Option<String>>(21)?.map(ErrorText::from),
        detail,
    })
}

fn leaf_detail(row: &Row<'_>) -> rusqlite::Result<LeafDetail> {
    Ok(LeafDetail {
        kind: columns::text(row, 3)?.ok_or(rusqlite::Error::InvalidQuery)?,
        attempt: row.get(18)?,
        retry_count: row.get(19)?,
        max_retries: columns::readable_max_retries(row, 20)?.get(),
        lease_until: columns::readable_due_at(row, 22)?,
        engine: row.get::<_, Option<[u8; 16]>>(23)?.map(u128::from_be_bytes).map(EngineId::from_u128),
        lease_losses: columns::lease_losses(row, 24)?,
    })
}

const SELECT_RUN: &str = "SELECT id, state, sealed, fanout, children, open_children, failed_children, \
    cancelled_children, policy, mark, joining, updated_at, created_at FROM conductor_runs WHERE key = ?1";

const SELECT_TASK: &str = "SELECT t.id, coalesce(t.name, p.name || '#' || t.ordinal), t.kind, k.name, t.state, \
    t.updated_at, t.due_at, t.run, t.parent, t.sealed, t.fanout, t.children, t.open_children, t.failed_children, \
    t.cancelled_children, t.policy, t.mark, t.joining, t.attempt, t.retry_count, t.max_retries, t.last_error, \
    t.lease_until, e.id, t.lost, t.created_at \
    FROM conductor_tasks t JOIN conductor_kinds k ON k.key = t.kind \
    LEFT JOIN conductor_tasks p ON p.key = t.parent \
    LEFT JOIN conductor_engines e ON e.key = t.holder WHERE t.key = ?1";
