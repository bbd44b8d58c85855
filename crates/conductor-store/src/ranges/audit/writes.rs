//! Writes of repairs.

use crate::backend::{AdminWrite, AdminWritten, CorruptTask};
use crate::ranges::rows::parents;
use crate::ranges::writes::prune;
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::keys::RowKey;
use conductor_model::{ErrorText, Timestamp};
use rusqlite::{Connection, params};

/// Executes a write. Rows of tasks cannot be repaired yet.
pub(in crate::ranges) fn write(tx: &Connection, write: AdminWrite<'_>) -> Result<AdminWritten> {
    let changed = match write {
        AdminWrite::BeginPrune(run) => prune::begin(tx, run)?,
        _ => 0,
    };
    Ok(if changed > 0 { AdminWritten::Changed } else { AdminWritten::Unchanged })
}

/// Fails a parent whose own row cannot be read. It writes the state only, because the counts to change are unknown.
pub(in crate::ranges) fn fail_corrupt(
    connection: &Connection,
    task: &CorruptTask,
    now: Timestamp,
) -> Result<bool> {
    let error = ErrorText::from(format!("its row was changed: {}", task.reason));
    let failed = connection.run(FAIL_PARENT, params![task.key.row(), now.as_millis()])?;
    parents::write_error(connection, task.key.row(), Some(&error))?;
    Ok(failed > 0)
}

const FAIL_PARENT: &str =
    "UPDATE conductor_parents SET state = 3, updated_at = ?2, due_at = NULL WHERE task = ?1";
