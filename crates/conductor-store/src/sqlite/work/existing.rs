//! Single rows that operations ask for.

use crate::StoreError;
use crate::backend::{Existing, ExistingWanted, JoinRow, ParentKey, PlannedJoin, RunKey, Submission};
use crate::sqlite::connection::sql::{Result, Sql, id_blob, run_key};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::keys::{RowKey, parent_columns};
use crate::sqlite::rows::parents::reason;
use crate::sqlite::rows::tasks::{SELECT_JOIN, nodes};
use conductor_model::{IdempotencyKey, Kind, PayloadHash, RunId, TaskId};
use rusqlite::{Connection, Row, params};

/// The join of a parent or a run.
pub(crate) fn join(connection: &Connection, parent: ParentKey) -> Result<JoinRow> {
    let (run, key) = parent_columns(parent);
    let task = nodes(connection, SELECT_JOIN, [run, key])?.pop();
    if task.is_some() {
        let output = connection.first(SELECT_OUTPUT, [run, key], |row| row.get(0))?;
        return Ok(JoinRow { task, output: output.flatten(), planned: None });
    }
    let planned =
        connection.first(SELECT_PLANNED, [run, key], |row| Ok(planned_join(row).map_err(reason)))?;
    Ok(JoinRow { task, output: None, planned })
}

fn planned_join(row: &Row<'_>) -> rusqlite::Result<PlannedJoin> {
    Ok(PlannedJoin {
        id: TaskId::from_u128(columns::id(row, 0)?),
        kind: columns::text::<Kind>(row, 1)?.ok_or_else(|| columns::unreadable(1, "it has no kind"))?,
        max_retries: columns::readable_max_retries(row, 2)?,
        backoff: columns::readable_backoff(row, 3),
        timeout_ms: row.get(4)?,
        priority: row.get::<_, Option<i16>>(5)?.unwrap_or(0),
    })
}

/// Finds the parts of a submission that exist already.
pub(crate) fn existing(connection: &Connection, wanted: &ExistingWanted<'_>) -> Result<Existing> {
    let submission = wanted.idempotency_key.map(|key| submission(connection, key)).transpose()?.flatten();
    let run = wanted.run.map(|run| run_key(connection, run)).transpose()?.flatten();
    let taken = |id: &TaskId| connection.first(ID_TAKEN, [id_blob(id.as_u128())], |_| Ok(*id));
    let task = wanted.tasks.iter().find_map(|id| taken(id).transpose()).transpose()?;
    Ok(Existing { submission, run: run.map(RunKey::of_row), task })
}

/// The submission with an idempotency key.
fn submission(connection: &Connection, key: &IdempotencyKey) -> Result<Option<Submission>> {
    connection.first(SELECT_BY_IDEMPOTENCY_KEY, [key.as_str()], |row| {
        Ok(Submission {
            run: RunId::from_u128(columns::id(row, 0)?),
            payload_version: row.get(1)?,
            payload_hash: PayloadHash(row.get(2)?),
        })
    })
}

/// The next key of a table that never uses one again.
pub(crate) fn next_key(connection: &Connection, table: &str) -> Result<i64> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
    let last: Option<i64> = connection.first(sql, params![table], |row| row.get(0))?;
    last.unwrap_or(0).checked_add(1).ok_or_else(no_key_left)
}

pub(crate) fn no_key_left() -> StoreError {
    StoreError::Backend("no row key is left: another program inserted a row with the largest one".into())
}

pub(crate) const SELECT_BY_IDEMPOTENCY_KEY: &str = "SELECT r.id, s.payload_version, s.payload_hash \
    FROM conductor_submissions s JOIN conductor_runs r ON r.key = s.run WHERE s.idempotency_key = ?1";

const SELECT_OUTPUT: &str =
    "SELECT output FROM conductor_tasks WHERE run = ?1 AND parent = ?2 AND ordinal = 0";

const SELECT_PLANNED: &str = "SELECT j.id, k.name, j.max_retries, j.backoff, j.timeout_ms, p.priority \
    FROM conductor_joins j LEFT JOIN conductor_kinds k ON k.key = j.kind \
    LEFT JOIN conductor_tasks p ON p.key = j.task WHERE j.run = ?1 AND j.task = ?2";

/// By a task, or by a join that is still to come.
const ID_TAKEN: &str = "SELECT 1 FROM conductor_tasks WHERE id = ?1 \
    UNION ALL SELECT 1 FROM conductor_joins WHERE id = ?1 LIMIT 1";
