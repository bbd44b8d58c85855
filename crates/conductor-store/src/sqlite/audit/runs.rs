//! Runs and their join plans, as they are stored.

use super::columns;
use crate::Scope;
use crate::backend::{AuditJoin, AuditJoins, AuditRun, AuditRuns, ParentKey, RunKey};
use crate::sqlite::connection::sql::{Result, Sql, known_run_key};
use crate::sqlite::rows;
use crate::sqlite::rows::keys::{RowKey, parent_column, parent_key};
use conductor_model::TaskId;
use rusqlite::{Connection, Row, params};

/// A run, or the next one.
pub(crate) fn read(connection: &Connection, wanted: AuditRuns) -> Result<Option<(RunKey, AuditRun)>> {
    let key = match wanted {
        AuditRuns::Key(run) => Some(run),
        AuditRuns::Next(scope, after) => next(connection, scope, after)?,
    };
    key.map(|key| Ok((key, row(connection, key)?))).transpose()
}

/// The next run that has a row, or that another row names.
fn next(connection: &Connection, scope: Scope, after: RunKey) -> Result<Option<RunKey>> {
    let after = i64::try_from(after.0).unwrap_or(i64::MAX);
    let key = match scope {
        Scope::Run(id) => Some(known_run_key(connection, id)?).filter(|key| *key > after),
        Scope::All => connection.first(NEXT_RUN, [after], |row| row.get(0))?.flatten(),
    };
    Ok(key.map(RunKey::of_row))
}

/// Reads the row of a run. Without a row, finds out whether another row names the run.
fn row(connection: &Connection, run: RunKey) -> Result<AuditRun> {
    let key = run.row();
    if let Some(row) = connection.first(columns::RUN, [key], columns::run)? {
        return Ok(AuditRun::Stored(row));
    }
    let is_named: Option<bool> = connection.first(IS_NAMED, [key], |row| row.get(0))?;
    Ok(if is_named == Some(true) { AuditRun::Missing } else { AuditRun::Gone })
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
        id: rows::columns::id(row, 1).ok().map(TaskId::from_u128),
        unknown_kind: row.get(2)?,
    })
}

/// The problems that SQLite finds in the file.
pub(crate) fn integrity(connection: &Connection, limit: u32) -> Result<Vec<String>> {
    let lines: Vec<String> =
        connection.all(&format!("PRAGMA integrity_check({limit})"), [], |row| row.get(0))?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

/// Whether another row names a run that has no row and is not being pruned.
const IS_NAMED: &str = "SELECT NOT EXISTS (SELECT 1 FROM conductor_pruned WHERE run = ?1) \
    AND (EXISTS (SELECT 1 FROM conductor_tasks WHERE run = ?1) \
        OR EXISTS (SELECT 1 FROM conductor_events WHERE run = ?1) \
        OR EXISTS (SELECT 1 FROM conductor_joins WHERE run = ?1))";

pub(crate) const NEXT_RUN: &str = "SELECT min(run) FROM ( \
    SELECT min(key) AS run FROM conductor_runs WHERE key > ?1 \
    UNION ALL SELECT min(run) FROM conductor_tasks INDEXED BY conductor_tasks_place WHERE run > ?1 \
    UNION ALL SELECT min(run) FROM conductor_events INDEXED BY conductor_events_run WHERE run > ?1 \
    UNION ALL SELECT min(run) FROM conductor_joins WHERE run > ?1)";

macro_rules! select_joins {
    () => {
        "SELECT task, id, CASE WHEN NOT EXISTS (SELECT 1 FROM conductor_kinds k \
         WHERE k.key = conductor_joins.kind) THEN kind END FROM conductor_joins WHERE run = ?1"
    };
}

const JOINS_OF_RUN: &str = select_joins!();
const JOIN_OF_PARENT: &str = concat!(select_joins!(), " AND task = ?2");
