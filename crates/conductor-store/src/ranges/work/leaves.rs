//! Leaves by their keys.

use super::block_cache::BlockCache;
use crate::backend::{OffsetSet, TaskGroup, TaskKey};
use crate::ranges::rows::block;
use crate::ranges::rows::nodes::{add, groups, sets};
use crate::sqlite::connection::sql::Result;
use conductor_model::State;
use rusqlite::Connection;

/// Reads leaves by their keys.
pub(in crate::ranges) fn leaves(
    connection: &Connection,
    cache: &mut BlockCache,
    keys: &[TaskKey],
) -> Result<Vec<TaskGroup>> {
    let mut found = Vec::new();
    for (number, wanted) in sets(keys) {
        let Some(row) = cache.block(connection, number)?.filter(|row| !row.is_parent) else { continue };
        let mut missing = wanted.and(&OffsetSet::first(row.count));
        // Most often they are running.
        for range in cache.ranges(block::task_key(number, 0)).load(connection, State::Running)? {
            if range.condition.status.state == State::Running {
                add(&mut found, &row, &range.set.and(&missing), range.condition.status);
                missing = missing.without(&range.set);
            }
        }
        if !missing.is_empty() {
            found.extend(groups(connection, &row, &missing)?);
        }
    }
    Ok(found)
}
