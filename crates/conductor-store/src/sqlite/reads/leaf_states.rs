//! The states of single leaves, from the places that have them.

use crate::backend::{LeafStatus, OffsetSet, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block;
use crate::sqlite::rows::columns::{self, bad_row};
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::places::ended_status;
use crate::sqlite::rows::range_rows::of_block;
use conductor_model::Timestamp;
use rusqlite::Connection;

/// The state of one leaf.
#[derive(Clone, Debug)]
pub(crate) struct LeafState {
    pub(crate) offset: u16,
    pub(crate) status: LeafStatus,
    pub(crate) engine: Option<i64>,
    pub(crate) lease_until: Option<Timestamp>,
    pub(crate) updated_at: Timestamp,
}

/// The states of leaves of a block, by offset. Fails for leaves in a damaged row, or in two places.
pub(crate) fn of(connection: &Connection, block: i64, within: &OffsetSet) -> Result<Vec<LeafState>> {
    let mut states = ended(connection, block, within)?;
    for row in of_block(connection, block)? {
        let row = match row {
            Ok(row) => row,
            Err(broken) if broken.set.is_some_and(|set| set.and(within).is_empty()) => continue,
            Err(broken) => return Err(bad_row("range", broken.key, &broken.reason)),
        };
        let condition = row.condition;
        states.extend(row.set.and(within).iter().map(|offset| LeafState {
            offset,
            status: condition.status,
            engine: condition.engine,
            lease_until: condition.lease_until,
            updated_at: condition.since,
        }));
    }
    states.sort_unstable_by_key(|state| state.offset);
    if let Some(pair) = states.windows(2).find(|pair| pair[0].offset == pair[1].offset) {
        let key = block::task_key(block, pair[0].offset).row();
        return Err(bad_row("task", key, "it is in two places"));
    }
    Ok(states)
}

/// The output of a leaf. Imported leaves may have one in any state.
pub(crate) fn output(connection: &Connection, task: TaskKey) -> Result<Option<String>> {
    Ok(connection.first(OUTPUT, [task.row()], |row| row.get(0))?.flatten())
}

/// The leaves of a block that ended by themselves.
fn ended(connection: &Connection, block: i64, within: &OffsetSet) -> Result<Vec<LeafState>> {
    let (Some(first), Some(last)) = (within.iter().next(), within.last()) else { return Ok(Vec::new()) };
    let keys = [block::task_key(block, first).row(), block::task_key(block, last).row()];
    let mut ended = connection.all(ENDED, keys, |row| {
        Ok(LeafState {
            offset: block::place(TaskKey::of_row(row.get(0)?)).1,
            status: ended_status(row, 1)?,
            engine: None,
            lease_until: None,
            updated_at: columns::timestamp(row, 5)?,
        })
    })?;
    ended.retain(|state| within.contains(state.offset));
    Ok(ended)
}

/// The last error of a task.
pub(crate) fn last_error(connection: &Connection, task: TaskKey) -> Result<Option<String>> {
    connection.first("SELECT error FROM conductor_errors WHERE task = ?1", [task.row()], |row| row.get(0))
}

const ENDED: &str = "SELECT task, state, attempt, retry_count, lease_losses, at FROM conductor_ended \
    WHERE task BETWEEN ?1 AND ?2";
const OUTPUT: &str = "SELECT coalesce((SELECT output FROM conductor_ended WHERE task = ?1), \
    (SELECT output FROM conductor_outputs WHERE task = ?1))";
