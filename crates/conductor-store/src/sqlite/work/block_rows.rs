//! Rows of `conductor_ranges` that a step found, by block.

use crate::backend::OffsetSet;
use crate::sqlite::connection::sql::Result;
use crate::sqlite::rows::block::{self, BLOCK_COLUMNS, BlockRow, CorruptBlock, ReadBlock};
use crate::sqlite::rows::columns::reason;
use crate::sqlite::rows::places::{self, Found};
use crate::sqlite::rows::range_rows::{self, RANGE_COLUMNS, RangeRow, ReadRange};
use rusqlite::{Connection, Row};

/// Rows of one block that a step found.
pub(super) struct BlockRows {
    pub(super) number: i64,
    /// The block; `None` if its row is missing.
    block: Option<ReadBlock>,
    rows: Vec<ReadRange>,
    /// Why the leaves cannot be claimed, though the block can be read.
    unfit: Option<String>,
    /// Whether the statement found that none of the leaves runs or has ended.
    is_in_one_place: bool,
}

/// The columns of [`BlockRows::read`], and the tables that have them, up to the name of an index.
macro_rules! select_with_block {
    ($index:literal, ($($also:tt)+), $($where:tt)+) => {
        sql!("SELECT " (range_columns!()) ", " (block_columns!()) ", g.block, " ($($also)+)
            " FROM conductor_ranges g INDEXED BY " $index
            " LEFT JOIN conductor_blocks b ON b.block = g.block WHERE " $($where)+)
    };
    ($index:literal, $($where:tt)+) => { select_with_block!($index, ("NULL"), $($where)+) };
}
pub(super) use select_with_block;

/// The further columns of [`BlockRows::read_ready`]: whether no leaf from the first to the last one of a row runs or has
/// ended, which most often saves two statements for each block; and whether the row repeats the values of its block.
macro_rules! ready_columns {
    () => {
        sql!("NOT EXISTS (SELECT 1 FROM conductor_ranges r WHERE r.block = g.block AND " running
            " AND r.first <= g.last AND r.last >= g.first) \
            AND NOT EXISTS (SELECT 1 FROM conductor_ended e \
            WHERE e.task BETWEEN g.block * 1024 + g.first AND g.block * 1024 + g.last), \
            g.run IS b.run AND g.parent IS b.parent AND g.kind IS b.kind")
    };
}
pub(super) use ready_columns;

const NUMBER: usize = RANGE_COLUMNS + BLOCK_COLUMNS;
const TIMEOUT: usize = RANGE_COLUMNS + 10;

impl BlockRows {
    /// Reads one row.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let is_missing = row.get::<_, Option<i64>>(RANGE_COLUMNS)?.is_none();
        Ok(Self {
            number: row.get(NUMBER)?,
            block: if is_missing { None } else { Some(block::read(row, RANGE_COLUMNS)?) },
            rows: vec![range_rows::read(row, 0)?],
            unfit: row.get::<_, Option<u32>>(TIMEOUT).map_err(reason).err(),
            is_in_one_place: false,
        })
    }

    /// Reads one row of leaves that may be claimed.
    pub(super) fn read_ready(row: &Row<'_>) -> rusqlite::Result<Self> {
        let mut found = Self { is_in_one_place: row.get(NUMBER + 1)?, ..Self::read(row)? };
        if !row.get::<_, bool>(NUMBER + 2)? {
            found.unfit = Some("it has another run, parent or kind than its tasks".to_owned());
        }
        Ok(found)
    }

    /// Whether a leaf may have an input of its own.
    pub(super) fn has_inputs(&self) -> bool {
        !matches!(&self.block, Some(Ok(block)) if !block.has_inputs)
    }

    /// Adds other rows of the same block.
    pub(super) fn add(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.is_in_one_place &= other.is_in_one_place;
        self.unfit = self.unfit.take().or(other.unfit);
    }

    /// Leaves at most `limit` leaves, the oldest; returns how many.
    pub(super) fn shorten(&mut self, limit: u32) -> u32 {
        let mut left = limit;
        for row in self.rows.iter_mut().flatten() {
            row.set = row.set.smallest(left);
            left -= row.set.len();
        }
        limit - left
    }

    /// The oldest leaves, at most `limit`.
    pub(super) fn oldest(&self, connection: &Connection, limit: u32) -> Result<Found> {
        places::oldest(connection, (self.number, self.block.as_ref()), &self.rows, limit)
    }

    /// The leaves that wait for their time, at most `limit`: of a block with a thousand such rows, it reads no others. Leaves
    /// that are in two places are found by their claim.
    pub(super) fn waiting(&self, connection: &Connection, limit: u32) -> Result<Found> {
        match self.intact() {
            Some((block, sets)) => Ok(places::smallest(block, &sets, limit)),
            None => self.oldest(connection, limit),
        }
    }

    /// The block and its rows, if nothing in them is damaged.
    fn intact(&self) -> Option<(&BlockRow, Vec<&RangeRow>)> {
        let Some(Ok(block)) = &self.block else { return None };
        let rows: Vec<&RangeRow> = self.rows.iter().map(|row| row.as_ref().ok()).collect::<Option<_>>()?;
        let within = OffsetSet::first(block.count);
        let (mut all, mut count) = (OffsetSet::default(), 0);
        for row in &rows {
            (all, count) = (all.or(&row.set), count + row.set.len());
        }
        (!block.is_parent && all.len() == count && all.without(&within).is_empty()).then_some((block, rows))
    }

    /// The oldest leaves that can be claimed, at most `limit`. A claim needs the timeout, too, and it found them by the run and
    /// the kind of their own row. Of a block with a thousand rows that wait, it reads only what could be run twice: the leaves
    /// that run, and those that have ended.
    pub(super) fn oldest_to_claim(mut self, connection: &Connection, limit: u32) -> Result<Found> {
        if let (Some(Ok(block)), Some(reason)) = (&self.block, self.unfit.take()) {
            self.block = Some(Err(CorruptBlock::of(block, &reason)));
        }
        if let Some((block, sets)) = self.intact() {
            let all = sets.iter().fold(OffsetSet::default(), |all, row| all.or(&row.set)).smallest(limit);
            if self.is_in_one_place || !places::runs_or_ended(connection, block.number, &all)? {
                return Ok(places::smallest(block, &sets, limit));
            }
        }
        self.oldest(connection, limit)
    }
}
