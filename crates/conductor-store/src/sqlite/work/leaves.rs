//! Blocks and their leaves, each read once in a transaction: no other transaction changes them.

use crate::backend::{KeySet, OffsetSet, TaskGroup, TaskKey};
use crate::sqlite::connection::sql::Result;
use crate::sqlite::rows::block::{self, BlockRow};
use crate::sqlite::rows::nodes::{add, groups, sets};
use crate::sqlite::rows::places;
use crate::sqlite::rows::range_rows::BlockRanges;
use conductor_model::State;
use rusqlite::Connection;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

/// What a transaction has read.
#[derive(Default)]
pub(crate) struct BlockCache {
    blocks: HashMap<i64, Option<BlockRow>>,
    ranges: BTreeMap<i64, BlockRanges>,
}

impl BlockCache {
    /// Reads a block at its first use.
    pub(crate) fn block(&mut self, connection: &Connection, number: i64) -> Result<Option<BlockRow>> {
        Ok(match self.blocks.entry(number) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => *unknown.insert(block::by_number(connection, number)?),
        })
    }

    /// The ranges of the block that has this key.
    pub(crate) fn ranges(&mut self, key: TaskKey) -> &mut BlockRanges {
        let (number, _) = block::place(key);
        self.ranges.entry(number).or_insert_with(|| BlockRanges::new(number))
    }

    /// Writes the ranges that changed.
    pub(crate) fn save(&mut self, connection: &Connection) -> Result<()> {
        self.ranges.values_mut().try_for_each(|ranges| ranges.save(connection))
    }

    /// Forgets everything, before another write of the tables.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Reads leaves by their keys. Those that another program damaged are left out.
pub(crate) fn leaves(
    connection: &Connection,
    cache: &mut BlockCache,
    keys: &[KeySet],
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
