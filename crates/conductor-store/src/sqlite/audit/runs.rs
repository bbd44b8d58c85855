//! Runs and join plans, with values that need not be valid.

use crate::backend::{
    AuditJoin, AuditJoins, AuditRun, AuditRuns, ParentColumns, ParentKey, RunColumns, RunKey,
};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::keys::{RowKey, parent_column, parent_key};
use crate::sqlite::rows::parents::run_id;
use crate::sqlite::rows::scope::run_key;
use crate::{Scope, StoreError};
use conductor_model::TaskId;
use rusqlite::{Connection, Row, params};

/// See [`ReadTx::audit_run`](crate::backend::ReadTx::audit_run).
pub(crate) fn read(connection: &Connection, wanted: AuditRuns) -> Result<Option<(RunKey, AuditRun)>> {
    let key = match wanted {
        AuditRuns::Key(key) => Some(key),
        AuditRuns::Next(scope, after) => next(connection, scope, after)?,
    };
    key.map(|key| Ok((key, row(connection, key)?))).transpose()
}

/// The next run, also one that only another row names.
fn next(connection: &Connection, scope: Scope, after: RunKey) -> Result<Option<RunKey>> {
    let after = i64::try_from(after.0).unwrap_or(i64::MAX);
    let key = match scope {
        Scope::Run(id) => {
            let key = run_key(connection, id)?.ok_or(StoreError::RunNotFound(id))?;
            Some(key).filter(|key| *key > after)
        }
        Scope::All => connection.first(NEXT_RUN, [after], |row| row.get(0))?.flatten(),
    };
    Ok(key.map(RunKey::of_row))
}

/// Reads the row of a run. Without a row, finds out whether another row names the run.
fn row(connection: &Connection, run: RunKey) -> Result<AuditRun> {
    let key = run.row();
    if let Some(row) = connection.first(RUN, [key], run_columns)? {
        return Ok(AuditRun::Stored(row));
    }
    let is_named: Option<bool> = connection.first(IS_NAMED, [key], |row| row.get(0))?;
    Ok(if is_named == Some(true) { AuditRun::Missing } else { AuditRun::Gone })
}

fn run_columns(row: &Row<'_>) -> rusqlite::Result<RunColumns> {
    Ok(RunColumns {
        id: run_id(row, 0).ok(),
        state: row.get(1)?,
        state_counts: [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?],
        as_parent: parent(row, 7)?,
        swept: row.get(16)?,
    })
}

/// Nine columns: sealed, fanout, children, open, failed, cancelled, policy, `cancel_cause`, `join_open`.
pub(super) fn parent(row: &Row<'_>, column: usize) -> rusqlite::Result<ParentColumns> {
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

/// Join plans.
pub(crate) fn joins(connection: &Connection, joins: AuditJoins) -> Result<Vec<AuditJoin>> {
    match joins {
        AuditJoins::Run(run) => connection.all(JOINS_OF_RUN, [run.row()], |row| join(row, run)),
        AuditJoins::Parent(ParentKey { run, task }) => {
            let params = params![run.row(), parent_column(task)];
            connection.all(JOIN_OF_PARENT, params, |row| join(row, run))
        }
    }
}

fn join(row: &Row<'_>, run: RunKey) -> rusqlite::Result<AuditJoin> {
    Ok(AuditJoin {
        parent: parent_key(run, row, 0)?,
        id: columns::text::<TaskId>(row, 1).ok().flatten(),
        unknown_kind: row.get(2)?,
    })
}

/// The problems that SQLite finds in the file.
pub(crate) fn integrity(connection: &Connection, limit: u32) -> Result<Vec<String>> {
    let lines: Vec<String> =
        connection.all(&format!("PRAGMA integrity_check({limit})"), [], |row| row.get(0))?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

const RUN: &str = "SELECT id, state, pending, running, succeeded, failed, cancelled, \
    sealed, fanout, children, open_children, failed_children, cancelled_children, policy, cancel_cause, join_open, swept \
    FROM conductor_runs WHERE key = ?1";

/// Whether another row names a run that has no row and is not being pruned.
const IS_NAMED: &str = "SELECT NOT EXISTS (SELECT 1 FROM conductor_prune_queue WHERE run = ?1) \
    AND (EXISTS (SELECT 1 FROM conductor_blocks WHERE run = ?1) \
        OR EXISTS (SELECT 1 FROM conductor_events WHERE run = ?1) \
        OR EXISTS (SELECT 1 FROM conductor_joins WHERE run = ?1))";

const NEXT_RUN: &str = "SELECT min(run) FROM ( \
    SELECT min(key) AS run FROM conductor_runs WHERE key > ?1 \
    UNION ALL SELECT min(run) FROM conductor_blocks INDEXED BY conductor_blocks_position WHERE run > ?1 \
    UNION ALL SELECT min(run) FROM conductor_events INDEXED BY conductor_events_run WHERE run > ?1 \
    UNION ALL SELECT min(run) FROM conductor_joins WHERE run > ?1)";

macro_rules! select_joins {
    ($where:literal) => {
        concat!(
            "SELECT parent, id, CASE WHEN NOT EXISTS ",
            "(SELECT 1 FROM conductor_kinds k WHERE k.key = conductor_joins.kind) THEN kind END ",
            "FROM conductor_joins WHERE ",
            $where
        )
    };
}

const JOINS_OF_RUN: &str = select_joins!("run = ?1");
const JOIN_OF_PARENT: &str = select_joins!("run = ?1 AND parent = ?2");
