//! Inputs that belong to no task.

use crate::backend::{Examined, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block::KEYS;
use crate::sqlite::rows::keys::RowKey;
use rusqlite::{Connection, params};

/// The stray ones among the next rows of inputs. A row is named by the task that has its first input.
pub(crate) fn stray(connection: &Connection, after: Option<TaskKey>, limit: u32) -> Result<Examined> {
    let after = after.map_or(i64::MIN, TaskKey::row);
    let page: Vec<(i64, bool)> =
        connection.all(INPUTS, params![after, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let last = page.last().filter(|_| page.len() == limit as usize);
    let key = |(task, _): &(i64, bool)| TaskKey::of_row(*task);
    let next = last.map(key);
    let stray_inputs = page.iter().filter(|(_, has_block)| !has_block).map(key).collect();
    Ok(Examined { stray_inputs, next, damage: Vec::new() })
}

/// Removes a row of inputs whose block does not exist.
pub(super) fn remove_stray(connection: &Connection, task: TaskKey) -> Result<usize> {
    connection.run(DELETE_STRAY, [task.row()])
}

/// Gives a task without an input one.
pub(super) fn insert(connection: &Connection, task: TaskKey, input: &str) -> Result<usize> {
    connection.run(HAS_INPUTS, [task.row()])?;
    connection.run(INSERT, params![task.row(), format!("[{input}]")])
}

const _: () = assert!(KEYS == 1024, "the statements divide by it");

const INPUTS: &str = "SELECT i.task, EXISTS (SELECT 1 FROM conductor_blocks b WHERE b.block = i.task / 1024) \
    FROM conductor_inputs i WHERE i.task > ?1 ORDER BY i.task LIMIT ?2";

const DELETE_STRAY: &str = "DELETE FROM conductor_inputs WHERE task = ?1 \
    AND NOT EXISTS (SELECT 1 FROM conductor_blocks b WHERE b.block = ?1 / 1024)";

const HAS_INPUTS: &str =
    "UPDATE conductor_blocks SET has_inputs = 1 WHERE block = ?1 / 1024 AND has_inputs <> 1";

const INSERT: &str = "INSERT OR IGNORE INTO conductor_inputs (task, count, inputs) VALUES (?1, 1, ?2)";
