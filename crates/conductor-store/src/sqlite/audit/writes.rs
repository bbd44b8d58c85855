//! Writes of repairs.

use super::columns::parent_values;
use crate::backend::{
    AdminWrite, AdminWritten, ParentKey, RunColumns, RunKey, StoredPosition, TaskColumns, TaskKey,
};
use crate::sqlite::connection::sql::{Result, Sql, id_blob};
use crate::sqlite::rows::conditions::sql;
use crate::sqlite::rows::keys::{RowKey, parent_column};
use crate::sqlite::writes::{insert, prune};
use conductor_model::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

/// Executes a write.
pub(crate) fn write(tx: &Connection, write: AdminWrite<'_>, now: Timestamp) -> Result<AdminWritten> {
    let changed = match write {
        AdminWrite::Task(key, row) => update_task(tx, key, row, now)?,
        AdminWrite::Run(key, row) => update_run(tx, key, row, now)?,
        AdminWrite::RestoreTask(key, row) => return restore_task(tx, key, row, now),
        AdminWrite::RemoveTask(key) => {
            tx.run("DELETE FROM conductor_inputs WHERE task = ?1", [key.row()])?;
            tx.run("DELETE FROM conductor_tasks WHERE key = ?1", [key.row()])?
        }
        AdminWrite::MoveTask(key, run) => tx.run(MOVE_TASK, [key.row(), run.row()])?,
        AdminWrite::ChangeKey { from, to } => {
            let keys = [from.row(), to.row()];
            tx.run("UPDATE OR IGNORE conductor_inputs SET task = ?2 WHERE task = ?1", keys)?;
            tx.run("UPDATE conductor_tasks SET key = ?2 WHERE key = ?1", keys)?
        }
        AdminWrite::InsertInput(key, input) => tx.run(insert::INSERT_INPUT, params![key.row(), input])?,
        AdminWrite::RemoveStrayInput(key) => tx.run(DELETE_STRAY_INPUT, [key.row()])?,
        AdminWrite::RemoveJoin(ParentKey { run, task }) => {
            let sql = "DELETE FROM conductor_joins WHERE run = ?1 AND task = ?2";
            tx.run(sql, [run.row(), parent_column(task)])?
        }
        AdminWrite::SweepAgain(ParentKey { run, task: None }) => tx.run(SWEEP_RUN, [run.row()])?,
        AdminWrite::SweepAgain(ParentKey { task: Some(task), .. }) => tx.run(SWEEP_PARENT, [task.row()])?,
        AdminWrite::BeginPrune(run) => prune::begin(tx, run)?,
        // The transaction removes them.
        AdminWrite::RemoveDeadEngines => 0,
    };
    Ok(if changed > 0 { AdminWritten::Changed } else { AdminWritten::Unchanged })
}

fn update_task(tx: &Connection, key: TaskKey, row: &TaskColumns, now: Timestamp) -> Result<usize> {
    free_position(tx, row.run, row.position, Some(key))?;
    let mut values = vec![Value::from(key.row())];
    values.extend(task_values(row));
    values.push(now.as_millis().into());
    tx.run(UPDATE_TASK, params_from_iter(values))
}

fn update_run(tx: &Connection, key: RunKey, row: &RunColumns, now: Timestamp) -> Result<usize> {
    let mut values = vec![Value::from(key.row()), row.state.into(), now.as_millis().into()];
    values.extend(parent_values(&row.as_parent));
    values.push(row.swept.into());
    values.extend(row.state_counts.map(Value::from));
    tx.run(UPDATE_RUN, params_from_iter(values))
}

/// Inserts a task whose row was lost.
fn restore_task(
    tx: &Connection,
    key: Option<TaskKey>,
    row: &TaskColumns,
    now: Timestamp,
) -> Result<AdminWritten> {
    // AUTOINCREMENT finds no key behind the largest one.
    let last = "SELECT 1 FROM conductor_tasks WHERE key = ?1";
    if key.is_none() && tx.first(last, [i64::MAX], |_| Ok(()))?.is_some() {
        return Ok(AdminWritten::NoKey);
    }
    free_position(tx, row.run, row.position, key)?;
    let sql = if row.position.index == 0 { INSERT_JOIN } else { INSERT_CHILD };
    let mut values = vec![Value::from(key.map(TaskKey::row))];
    values.extend(task_values(row));
    values.push(now.as_millis().into());
    if tx.run(sql, params_from_iter(values))? == 0 {
        return Ok(AdminWritten::NoTemplate);
    }
    Ok(AdminWritten::Restored(TaskKey::of_row(tx.last_insert_rowid())))
}

/// The values ?2 to ?21.
fn task_values(row: &TaskColumns) -> impl Iterator<Item = Value> {
    let TaskColumns { run, id, position, state, due_at, attempt, retry_count, lease_until, engine, .. } = row;
    let own = [
        id.map(|id| id_blob(id.as_u128()).to_vec()).into(),
        run.row().into(),
        parent_column(position.parent).into(),
        position.index.into(),
        (*state).into(),
        (*due_at).into(),
        (*attempt).into(),
        (*retry_count).into(),
        (*lease_until).into(),
        (*engine).into(),
    ];
    own.into_iter().chain(parent_values(&row.as_parent)).chain([row.swept.into()])
}

/// Moves any other row away from the position: to its negative key, which is an index that no other row of the run has.
fn free_position(tx: &Connection, run: RunKey, position: StoredPosition, key: Option<TaskKey>) -> Result<()> {
    let key = key.map_or(0, TaskKey::row);
    let position = [run.row(), parent_column(position.parent), position.index, key];
    tx.run(FREE_POSITION, position).map(drop)
}

const FREE_POSITION: &str = "UPDATE conductor_tasks SET ordinal = CASE WHEN key < 0 THEN key ELSE -key END \
    WHERE run = ?1 AND parent = ?2 AND ordinal = ?3 AND key <> ?4";

const MOVE_TASK: &str = "UPDATE conductor_tasks SET run = ?2, ordinal = CASE WHEN key < 0 THEN key ELSE -key END \
    WHERE key = ?1";

const SWEEP_RUN: &str = "UPDATE conductor_runs SET swept = 0 WHERE key = ?1 AND mark IS NOT NULL";
const SWEEP_PARENT: &str = "UPDATE conductor_tasks SET swept = 0 WHERE key = ?1 AND mark IS NOT NULL";

const DELETE_STRAY_INPUT: &str = "DELETE FROM conductor_inputs \
    WHERE task = ?1 AND NOT EXISTS (SELECT 1 FROM conductor_tasks WHERE key = ?1)";

const UPDATE_TASK: &str = "UPDATE conductor_tasks SET id = ?2, run = ?3, parent = ?4, ordinal = ?5, state = ?6, \
    due_at = ?7, attempt = ?8, retry_count = ?9, lease_until = ?10, holder = ?11, sealed = ?12, fanout = ?13, \
    children = ?14, open_children = ?15, failed_children = ?16, cancelled_children = ?17, policy = ?18, \
    mark = ?19, joining = ?20, swept = ?21, updated_at = ?22 WHERE key = ?1";

const UPDATE_RUN: &str = "UPDATE conductor_runs SET state = ?2, updated_at = ?3, sealed = ?4, fanout = ?5, \
    children = ?6, open_children = ?7, failed_children = ?8, cancelled_children = ?9, policy = ?10, mark = ?11, \
    joining = ?12, swept = ?13, pending = ?14, running = ?15, succeeded = ?16, failed = ?17, cancelled = ?18 \
    WHERE key = ?1";

/// The columns of a row that is inserted again.
macro_rules! insert_task {
    ($select:literal) => {
        sql!("INSERT INTO conductor_tasks (key, id, run, parent, ordinal, state, due_at, attempt, retry_count, \
            lease_until, holder, sealed, fanout, children, open_children, failed_children, cancelled_children, policy, \
            mark, joining, swept, created_at, updated_at, kind, priority, max_retries, name, backoff, timeout_ms) \
            SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
            ?22, ?22, " $select)
    };
}

/// Inserts a child again, with the values that it inherits.
const INSERT_CHILD: &str = insert_task!(
    "kind, priority, max_retries, CASE WHEN ?12 IS NOT NULL THEN name || '#' || ?5 END, backoff, timeout_ms \
    FROM conductor_tasks WHERE key = ?4"
);

/// Inserts a join again, from its plan.
const INSERT_JOIN: &str = insert_task!(
    "j.kind, coalesce(p.priority, 0), j.max_retries, CASE WHEN ?4 = 0 THEN k.name END, j.backoff, j.timeout_ms \
    FROM conductor_joins j JOIN conductor_kinds k ON k.key = j.kind \
    LEFT JOIN conductor_tasks p ON p.key = j.task WHERE j.run = ?3 AND j.task = ?4"
);
