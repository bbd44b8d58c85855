//! Single rows that operations ask for.

use crate::StoreError;
use crate::backend::{
    Existing, ExistingWanted, JoinRow, OffsetSet, ParentKey, PlannedJoin, RunKey, Submission,
};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block::{self, id_columns};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::columns::reason;
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::keys::parent_columns;
use crate::sqlite::rows::nodes;
use crate::sqlite::rows::parents::run_id;
use crate::sqlite::rows::scope::run_key;
use conductor_model::{IdempotencyKey, Kind, PayloadHash, TaskId};
use rusqlite::{Connection, Row, params};

/// The join of a parent or a run.
pub(crate) fn join(connection: &Connection, parent: ParentKey) -> Result<JoinRow> {
    let (run, key) = parent_columns(parent);
    let read = connection
        .first(SELECT_JOIN, [run, key], |row| Ok((block::read(row, 0)?, row.get(block::BLOCK_COLUMNS)?)))?;
    if let Some((block, output)) = read {
        let mut tasks = Vec::new();
        nodes::push(connection, &block, &OffsetSet::one(0), &mut tasks)?;
        return Ok(JoinRow { task: tasks.pop(), output, planned: None });
    }
    let (number, _) = block::place(parent.task.unwrap_or_default());
    let planned =
        connection.first(SELECT_PLANNED, [run, key, number], |row| Ok(planned_join(row).map_err(reason)))?;
    Ok(JoinRow { task: None, output: None, planned })
}

fn planned_join(row: &Row<'_>) -> rusqlite::Result<PlannedJoin> {
    Ok(PlannedJoin {
        id: columns::text::<TaskId>(row, 0)?.ok_or_else(|| columns::unreadable(0, "it has no id"))?,
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
    let mut taken = None;
    for id in wanted.tasks {
        if is_taken(connection, *id)? {
            taken = Some(*id);
            break;
        }
    }
    Ok(Existing { submission, run: run.map(RunKey::of_row), task: taken })
}

/// Whether a task has this id, or a join that is still to come. The ids of a run that is being pruned are taken, too.
fn is_taken(connection: &Connection, id: TaskId) -> Result<bool> {
    let (prefix, low) = id_columns(id);
    if connection.first(ID_TAKEN, params![prefix, low], |_| Ok(()))?.is_some() {
        return Ok(true);
    }
    Ok(connection.first(ID_PLANNED, [id.to_string()], |_| Ok(()))?.is_some())
}

/// The submission with an idempotency key.
fn submission(connection: &Connection, key: &IdempotencyKey) -> Result<Option<Submission>> {
    connection.first(SELECT_BY_IDEMPOTENCY_KEY, [key.as_str()], |row| {
        Ok(Submission {
            run: run_id(row, 0)?,
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

const SELECT_BY_IDEMPOTENCY_KEY: &str = "SELECT r.id, s.payload_version, s.payload_hash \
    FROM conductor_submissions s JOIN conductor_runs r ON r.key = s.run WHERE s.idempotency_key = ?1";

const SELECT_JOIN: &str = concat!(
    "SELECT ",
    block::block_columns!(),
    ", coalesce(e.output, o.output) FROM conductor_blocks b LEFT JOIN conductor_ended e ON e.task = b.block * 1024 \
     LEFT JOIN conductor_outputs o ON o.task = e.task WHERE b.run = ?1 AND b.parent = ?2 AND b.child_index = 0"
);

const SELECT_PLANNED: &str = "SELECT j.id, k.name, j.max_retries, j.backoff, j.timeout_ms, b.priority \
    FROM conductor_joins j LEFT JOIN conductor_kinds k ON k.key = j.kind \
    LEFT JOIN conductor_blocks b ON b.block = ?3 WHERE j.run = ?1 AND j.parent = ?2";

const ID_TAKEN: &str = "SELECT 1 FROM (SELECT low, count FROM conductor_blocks WHERE prefix = ?1 AND low <= ?2 \
    ORDER BY low DESC LIMIT 1) WHERE low + count > ?2";

const ID_PLANNED: &str = "SELECT 1 FROM conductor_joins WHERE id = ?1";
