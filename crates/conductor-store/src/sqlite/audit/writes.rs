//! Writes of repairs.

use super::keys::stored_number;
use super::parents::parent_values;
use super::{inputs, place, restore};
use crate::backend::{AdminWrite, AdminWritten, CorruptTask, ParentKey, RunColumns, RunKey, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block;
use crate::sqlite::rows::conditions::sql;
use crate::sqlite::rows::keys::{RowKey, parent_column};
use crate::sqlite::rows::parents::write_error;
use crate::sqlite::rows::places::behind_last;
use crate::sqlite::writes::prune;
use conductor_model::{ErrorText, State, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

/// Executes a write.
pub(crate) fn write(tx: &Connection, write: AdminWrite<'_>, now: Timestamp) -> Result<AdminWritten> {
    let changed = match write {
        AdminWrite::Task(key, row) => usize::from(restore::write(tx, key, row, now)?),
        AdminWrite::Run(key, row) => write_run(tx, key, row, now)?,
        AdminWrite::RestoreTask(key, row) => return restore::restore(tx, key, row, now),
        AdminWrite::RemoveTask(key) => remove_task(tx, key)?,
        AdminWrite::InsertInput(key, input) => inputs::insert(tx, key, input)?,
        AdminWrite::RemoveStrayInput(key) => inputs::remove_stray(tx, key)?,
        AdminWrite::RemoveJoin(ParentKey { run, task }) => {
            let sql = "DELETE FROM conductor_joins WHERE run = ?1 AND parent = ?2";
            tx.run(sql, [run.row(), parent_column(task)])?
        }
        AdminWrite::SweepAgain(ParentKey { run, task: None }) => tx.run(SWEEP_RUN, [run.row()])?,
        AdminWrite::SweepAgain(ParentKey { task: Some(task), .. }) => tx.run(SWEEP_PARENT, [task.row()])?,
        AdminWrite::BeginPrune(run) => prune::begin(tx, run)?,
        // All tasks of a block are of one run.
        AdminWrite::MoveTask(key, run) => {
            let number = block::place(key).0;
            let moved = tx.run(MOVE_BLOCK, [number, run.row()])?;
            restore::copy_from_block(tx, number)?;
            moved
        }
        AdminWrite::ChangeKey { from, to } => restore::change_key(tx, from, to)?,
        // The transaction removes them.
        AdminWrite::RemoveDeadEngines => 0,
    };
    Ok(if changed > 0 { AdminWritten::Changed } else { AdminWritten::Unchanged })
}

fn write_run(tx: &Connection, key: RunKey, row: &RunColumns, now: Timestamp) -> Result<usize> {
    let mut values = vec![Value::from(key.row()), row.state.into(), now.as_millis().into()];
    values.extend(parent_values(&row.as_parent));
    values.push(row.swept.into());
    values.extend(row.state_counts.map(Value::from));
    tx.run(WRITE_RUN, params_from_iter(values))
}

/// Removes a task that no event describes. It leaves its place, and the block ends before the leaves at its end that are in no
/// place. In the middle of a block, a task without a place stays: a repair of the others comes first.
fn remove_task(tx: &Connection, key: TaskKey) -> Result<usize> {
    let (number, offset) = block::place(key);
    let stored = stored_number(tx, number)?;
    if stored != number {
        // None of its tasks can be in a place.
        return tx.run("DELETE FROM conductor_blocks WHERE block = ?1", [stored]);
    }
    let Some(row) = block::by_number(tx, number)? else { return Ok(0) };
    place::remove(tx, key)?;
    tx.run("DELETE FROM conductor_inputs WHERE task = ?1 AND count = 1", [key.row()])?;
    if row.is_parent {
        tx.run("DELETE FROM conductor_parents WHERE task = ?1", [key.row()])?;
    }
    // A block that says that it is a parent has one task. What stands behind it in other rows is no task.
    let left = if row.is_parent { 0 } else { behind_last(tx, number)?.min(row.count) };
    if left > offset {
        return Ok(0);
    }
    for after in left..row.count {
        let task = block::task_key(number, after).row();
        tx.run("DELETE FROM conductor_inputs WHERE task = ?1", [task])?;
    }
    match left {
        0 => {
            tx.run("DELETE FROM conductor_ranges WHERE block = ?1", [number])?;
            tx.run("DELETE FROM conductor_blocks WHERE block = ?1", [number])
        }
        left => tx.run("UPDATE conductor_blocks SET count = ?2 WHERE block = ?1", params![number, left]),
    }
}

/// Fails a task whose own row cannot be read. It writes the state only, because the counts to change are unknown.
pub(crate) fn fail_corrupt(connection: &Connection, task: &CorruptTask, now: Timestamp) -> Result<bool> {
    let error = ErrorText::from(format!("its row was changed: {}", task.reason));
    let key = task.key.row();
    let is_parent = connection.run(FAIL_PARENT, params![key, now.as_millis(), State::Failed.code()])? > 0;
    if is_parent {
        write_error(connection, key, Some(&error))?;
        return Ok(true);
    }
    place::fail(connection, task.key, &error, now)
}

const FAIL_PARENT: &str = sql!("UPDATE conductor_parents SET state = ?3, updated_at = ?2, due_at = NULL \
    WHERE task = ?1 AND " unsettled_parent);

const MOVE_BLOCK: &str = "UPDATE OR IGNORE conductor_blocks SET run = ?2 WHERE block = ?1";

const SWEEP_RUN: &str = "UPDATE conductor_runs SET swept = 0 WHERE key = ?1 AND cancel_cause IS NOT NULL";
const SWEEP_PARENT: &str =
    "UPDATE conductor_parents SET swept = 0 WHERE task = ?1 AND cancel_cause IS NOT NULL";

const WRITE_RUN: &str = "UPDATE conductor_runs SET state = ?2, updated_at = ?3, sealed = ?4, fanout = ?5, \
    children = ?6, open_children = ?7, failed_children = ?8, cancelled_children = ?9, policy = ?10, \
    cancel_cause = ?11, join_open = ?12, swept = ?13, pending = ?14, running = ?15, succeeded = ?16, failed = ?17, \
    cancelled = ?18 WHERE key = ?1";
