//! Tasks, as they are stored.

use super::columns::{self, task_columns};
use crate::backend::{AuditTask, AuditTasks, RunKey, StoredPosition, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql, id_blob};
use crate::sqlite::rows::conditions::sql;
use crate::sqlite::rows::keys::{RowKey, parent_column};
use conductor_model::TaskId;
use rusqlite::{Connection, params};

/// Tasks by their keys, their ids or their position, or the next tasks of a run.
pub(crate) fn read(connection: &Connection, tasks: AuditTasks<'_>) -> Result<Vec<AuditTask>> {
    match tasks {
        AuditTasks::After { run, position, limit } => page(connection, run, position, limit),
        AuditTasks::Keys(keys) => by_key(connection, keys),
        AuditTasks::Ids(ids) => by_id(connection, ids),
        AuditTasks::Position(run, StoredPosition { parent, index }) => {
            let params = params![run.row(), parent_column(parent), index];
            connection.all(BY_POSITION, params, columns::task)
        }
    }
}

fn page(
    connection: &Connection,
    run: RunKey,
    after: Option<StoredPosition>,
    limit: u32,
) -> Result<Vec<AuditTask>> {
    let after = after.map(|after| (parent_column(after.parent), after.index));
    let (parent, index) = after.unwrap_or((i64::MIN, 0));
    connection.all(TASKS, params![run.row(), parent, index, limit], columns::task)
}

fn by_key(connection: &Connection, keys: &[TaskKey]) -> Result<Vec<AuditTask>> {
    let task = |key: &TaskKey| connection.first(BY_KEY, [key.row()], columns::task);
    keys.iter().filter_map(|key| task(key).transpose()).collect()
}

fn by_id(connection: &Connection, ids: &[TaskId]) -> Result<Vec<AuditTask>> {
    let task = |id: &TaskId| connection.first(BY_ID, [id_blob(id.as_u128())], columns::task);
    ids.iter().filter_map(|id| task(id).transpose()).collect()
}

/// A page of a run's rows, in the order of their places.
pub(crate) const TASKS: &str = sql!("SELECT " (task_columns!()) " \
    FROM conductor_tasks INDEXED BY conductor_tasks_place \
    WHERE run = ?1 AND (parent, ordinal) > (?2, ?3) ORDER BY parent, ordinal LIMIT ?4");
const BY_KEY: &str = sql!("SELECT " (task_columns!()) " FROM conductor_tasks WHERE key = ?1");
const BY_ID: &str = sql!("SELECT " (task_columns!()) " FROM conductor_tasks WHERE id = ?1");
const BY_POSITION: &str = sql!("SELECT " (task_columns!()) " FROM conductor_tasks \
    WHERE run = ?1 AND parent = ?2 AND ordinal = ?3");
