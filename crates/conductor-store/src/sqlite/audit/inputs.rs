//! Inputs that belong to no task.

use crate::backend::{Examined, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::keys::RowKey;
use rusqlite::{Connection, params};

/// The stray ones among the next inputs.
pub(crate) fn stray(connection: &Connection, after: Option<TaskKey>, limit: u32) -> Result<Examined> {
    let after = after.map_or(i64::MIN, TaskKey::row);
    let page: Vec<(i64, bool)> =
        connection.all(INPUTS, params![after, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let last = page.last().filter(|_| page.len() == limit as usize);
    let key = |(task, _): &(i64, bool)| TaskKey::of_row(*task);
    let next = last.map(key);
    let stray_inputs = page.iter().filter(|(_, has_task)| !has_task).map(key).collect();
    Ok(Examined { stray_inputs, next, damage: Vec::new() })
}

pub(crate) const INPUTS: &str = "SELECT i.task, \
    EXISTS (SELECT 1 FROM conductor_tasks t WHERE t.key = i.task) \
    FROM conductor_inputs i WHERE i.task > ?1 ORDER BY i.task LIMIT ?2";
