//! The states of single leaves, from the places that have them.

use crate::StoreError;
use crate::backend::{LeafStatus, OffsetSet, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block;
use crate::sqlite::rows::columns::{self, bad_row};
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::places::ended_status;
use crate::sqlite::rows::range_rows::{RangeRow, of_block};
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
    for row in ranges(connection, block, within)? {
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
        return Err(in_two_places(block::task_key(block, pair[0].offset)));
    }
    Ok(states)
}

/// The leaves that have not ended by themselves, and their rows. Fails for leaves in a damaged row, or in two rows.
pub(super) fn in_ranges(
    connection: &Connection,
    block: i64,
    within: &OffsetSet,
) -> Result<(OffsetSet, Vec<RangeRow>)> {
    let (mut all, mut rows) = (OffsetSet::default(), ranges(connection, block, within)?);
    for row in &mut rows {
        row.set = row.set.and(within);
        if let Some(offset) = all.and(&row.set).iter().next() {
            return Err(in_two_places(block::task_key(block, offset)));
        }
        all = all.or(&row.set);
    }
    Ok((all, rows))
}

/// The rows of a block that may have one of these leaves. Fails for one that is damaged.
fn ranges(connection: &Connection, block: i64, within: &OffsetSet) -> Result<Vec<RangeRow>> {
    let rows = of_block(connection, block)?.into_iter().filter_map(|row| match row {
        Err(broken) if broken.set.is_some_and(|set| set.and(within).is_empty()) => None,
        row => Some(row.map_err(|broken| bad_row("range", broken.key, &broken.reason))),
    });
    rows.collect()
}

/// The error of a leaf that is in two places.
pub(super) fn in_two_places(task: TaskKey) -> StoreError {
    bad_row("task", task.row(), "it is in two places")
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
