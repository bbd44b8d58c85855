//! Blocks and their ranges that a transaction has read: no other transaction changes them.

use crate::backend::TaskKey;
use crate::ranges::rows::block::{self, BlockRow};
use crate::ranges::rows::range_rows::BlockRanges;
use crate::sqlite::connection::sql::Result;
use rusqlite::Connection;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

/// What a transaction has read.
#[derive(Default)]
pub(in crate::ranges) struct BlockCache {
    blocks: HashMap<i64, Option<BlockRow>>,
    ranges: BTreeMap<i64, BlockRanges>,
}

impl BlockCache {
    /// Reads a block at its first use.
    pub(in crate::ranges) fn block(
        &mut self,
        connection: &Connection,
        number: i64,
    ) -> Result<Option<BlockRow>> {
        Ok(match self.blocks.entry(number) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => *unknown.insert(block::by_number(connection, number)?),
        })
    }

    /// The ranges of the block that has this key.
    pub(in crate::ranges) fn ranges(&mut self, key: TaskKey) -> &mut BlockRanges {
        let (number, _) = block::place(key);
        self.ranges.entry(number).or_insert_with(|| BlockRanges::new(number))
    }

    /// Writes the ranges that changed.
    pub(in crate::ranges) fn save(&mut self, connection: &Connection) -> Result<()> {
        self.ranges.values_mut().try_for_each(|ranges| ranges.save(connection))
    }

    /// Forgets everything, before another write of the tables.
    pub(in crate::ranges) fn clear(&mut self) {
        *self = Self::default();
    }
}
