//! The states of single leaves, from the places that have them.

use crate::StoreError;
use crate::backend::{OffsetSet, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block;
use crate::sqlite::rows::columns::{self, bad_row};
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::places::{self, ended_status};
use crate::sqlite::rows::range_rows::{Condition, RangeRow, of_block};
use conductor_model::State;
use rusqlite::Connection;

/// The state of one leaf.
#[derive(Clone, Debug)]
pub(crate) struct LeafState {
    pub(crate) offset: u16,
    pub(crate) condition: Condition,
    /// The output, if it ended with a short one.
    pub(crate) output: Option<String>,
}

/// The states of leaves of a block, by offset: of all leaves, or of those in this state. Fails for leaves in a damaged row, or
/// in two places.
pub(crate) fn of(
    connection: &Connection,
    block: i64,
    within: &OffsetSet,
    state: Option<State>,
) -> Result<Vec<LeafState>> {
    let is_wanted = |condition: &Condition| state.is_none_or(|state| state == condition.status.state);
    let ended = places::ended(connection, block, within, |row| {
        let (status, since) = (ended_status(row, 1)?, columns::timestamp(row, 5)?);
        let condition = Condition { status, engine: None, lease_until: None, since };
        Ok((condition, if is_wanted(&condition) { row.get(6)? } else { None }))
    })?;
    let (elsewhere, rows) = in_ranges(connection, block, within)?;
    let mut states = Vec::new();
    for (offset, (condition, output)) in ended {
        if elsewhere.contains(offset) {
            return Err(in_two_places(block::task_key(block, offset)));
        }
        states.push(LeafState { offset, condition, output });
    }
    for RangeRow { set, condition, .. } in rows {
        states.extend(set.iter().map(|offset| LeafState { offset, condition, output: None }));
    }
    states.retain(|leaf| is_wanted(&leaf.condition));
    states.sort_unstable_by_key(|state| state.offset);
    Ok(states)
}

/// The leaves that have not ended by themselves, and their rows. Fails for leaves in a damaged row, or in two rows.
pub(super) fn in_ranges(
    connection: &Connection,
    block: i64,
    within: &OffsetSet,
) -> Result<(OffsetSet, Vec<RangeRow>)> {
    let (mut all, mut rows) = (OffsetSet::default(), Vec::new());
    for row in of_block(connection, block)? {
        let mut row = match row {
            Err(broken) if broken.set.is_some_and(|set| set.and(within).is_empty()) => continue,
            row => row.map_err(|broken| bad_row("range", broken.key, &broken.reason))?,
        };
        row.set = row.set.and(within);
        if let Some(offset) = all.and(&row.set).iter().next() {
            return Err(in_two_places(block::task_key(block, offset)));
        }
        all = all.or(&row.set);
        rows.push(row);
    }
    Ok((all, rows))
}

/// The error of a leaf that is in two places.
pub(super) fn in_two_places(task: TaskKey) -> StoreError {
    bad_row("task", task.row(), "it is in two places")
}

/// The last error of a task.
pub(crate) fn last_error(connection: &Connection, task: TaskKey) -> Result<Option<String>> {
    connection.first("SELECT error FROM conductor_errors WHERE task = ?1", [task.row()], |row| row.get(0))
}
