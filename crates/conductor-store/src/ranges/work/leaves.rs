//! Leaves by their keys.

use super::block_cache::BlockCache;
use crate::backend::{OffsetSet, TaskGroup, TaskKey};
use crate::ranges::rows::block::{self, BlockRow};
use crate::ranges::rows::nodes::{add, groups, sets};
use crate::ranges::rows::places;
use crate::sqlite::connection::sql::Result;
use conductor_model::State;
use rusqlite::Connection;

/// Reads leaves by their keys. Those that another program damaged are left out.
pub(in crate::ranges) fn leaves(
    connection: &Connection,
    cache: &mut BlockCache,
    keys: &[TaskKey],
) -> Result<Vec<TaskGroup>> {
    let mut found = Vec::new();
    for (number, wanted) in sets(keys) {
        let Some(row) = cache.block(connection, number)?.filter(|row| !row.is_parent) else { continue };
        let wanted = wanted.and(&OffsetSet::first(row.count));
        let running = running(connection, cache, (&row, &wanted), &mut found)?;
        let missing = wanted.without(&running);
        if !missing.is_empty() {
            found.extend(groups(connection, &row, &missing)?.0);
        }
    }
    Ok(found)
}

/// Most often they are running: then only the rows of what runs are read, and the ends. Adds these; returns which they are.
fn running(
    connection: &Connection,
    cache: &mut BlockCache,
    (block, wanted): (&BlockRow, &OffsetSet),
    groups: &mut Vec<TaskGroup>,
) -> Result<OffsetSet> {
    let rows = cache.ranges(block::task_key(block.number, 0)).load(connection, State::Running, None)?;
    let rows = rows.iter().filter(|row| row.condition.status.state == State::Running);
    let mut left = wanted.without(&places::ended_of(connection, block.number, wanted)?);
    let (mut once, mut twice) = (OffsetSet::default(), OffsetSet::default());
    for row in rows.clone() {
        twice = twice.or(&once.and(&row.set));
        once = once.or(&row.set);
    }
    left = left.without(&twice);
    for row in rows {
        add(groups, block, &row.set.and(&left), row.condition.status);
    }
    Ok(once.and(&left))
}
