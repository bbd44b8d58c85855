//! Blocks of siblings, and the keys and ids of their tasks.

use crate::backend::{Block, CorruptTask, OffsetSet, ParentKey, Position, RunKey, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::columns::reason;
use crate::sqlite::rows::keys::{self, RowKey};
use conductor_model::TaskId;
use rusqlite::{Connection, Row, params};

/// The number of keys that a block has.
pub(crate) const KEYS: i64 = OffsetSet::MAX as i64;

/// The key of the task at this offset of a block.
pub(crate) fn task_key(block: i64, offset: u16) -> TaskKey {
    TaskKey::of_row(block.saturating_mul(KEYS).saturating_add(i64::from(offset)))
}

/// The block that has this key, and the offset there.
pub(crate) fn place(key: TaskKey) -> (i64, u16) {
    let key = key.row();
    (key.div_euclid(KEYS), u16::try_from(key.rem_euclid(KEYS)).unwrap_or_default())
}

/// An id as its block stores it: the first 24 characters, and the number that the last two stand for.
pub(crate) fn id_columns(id: TaskId) -> (String, u16) {
    let mut prefix = id.to_string();
    prefix.truncate(24);
    (prefix, u16::try_from(id.as_u128() % u128::from(OffsetSet::MAX)).unwrap_or_default())
}

/// The id of the task at offset 0.
pub(crate) fn base_id(prefix: &str, low: u16, column: usize) -> rusqlite::Result<u128> {
    let first: TaskId = format!("{prefix}00").parse().map_err(|error| columns::unreadable(column, error))?;
    Ok(first.as_u128() + u128::from(low))
}

/// The columns of [`BlockRow::read`].
macro_rules! block_columns {
    () => {
        "b.block, b.prefix, b.low, b.count, b.run, b.parent, b.child_index, b.is_parent, b.max_retries, b.backoff, \
         b.timeout_ms, b.kind, b.priority, b.has_inputs"
    };
}
pub(crate) use block_columns;

/// How many columns [`block_columns`] names.
pub(crate) const BLOCK_COLUMNS: usize = 14;

/// How many of the last bits of an id differ in a block.
const ID_BITS: u32 = OffsetSet::MAX.ilog2();

/// A block that another program damaged, as far as it can be read.
#[derive(Clone, Debug)]
pub(crate) struct CorruptBlock {
    pub(crate) number: i64,
    /// The number that the last two characters of the id at offset 0 stand for.
    low: u16,
    /// The parent; `None` also for root tasks.
    parent: Option<TaskKey>,
    base_index: u32,
    count: u16,
    pub(crate) reason: String,
}

/// A block, or what can be read of it.
pub(crate) type ReadBlock = std::result::Result<BlockRow, CorruptBlock>;

impl CorruptBlock {
    /// A block of which only something is damaged that its other readers do not need.
    pub(crate) fn of(row: &BlockRow, reason: &str) -> Self {
        Self {
            number: row.number,
            low: row.low(),
            parent: row.parent().task,
            base_index: row.block.base_index,
            count: row.count,
            reason: format!("its block: {reason}"),
        }
    }

    /// The task at an offset.
    pub(crate) fn task(&self, offset: u16) -> CorruptTask {
        let index = self.base_index.saturating_add(u32::from(offset));
        CorruptTask { key: task_key(self.number, offset), index, reason: self.reason.clone() }
    }
}

/// Reads [`block_columns`] from this column on, as far as it can be read.
pub(crate) fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<ReadBlock> {
    let number = row.get(column)?;
    Ok(BlockRow::read(row, column).map_err(|error| CorruptBlock {
        number,
        low: row.get(column + 2).unwrap_or_default(),
        parent: keys::parent_task(row, column + 5).ok().flatten(),
        base_index: row.get(column + 6).unwrap_or(u32::MAX),
        count: row.get::<_, i64>(column + 3).map_or(1, clamp_count),
        reason: format!("its block: {}", reason(error)),
    }))
}

/// The nearest number of tasks that a block can have.
pub(crate) fn clamp_count(count: i64) -> u16 {
    u16::try_from(count.clamp(1, KEYS)).unwrap_or(1)
}

/// The parent of the tasks of a block; `None` for root tasks.
pub(crate) fn parent(block: &ReadBlock) -> Option<TaskKey> {
    block.as_ref().map_or_else(|corrupt| corrupt.parent, |row| row.parent().task)
}

/// The number of a block.
pub(crate) fn number(block: &ReadBlock) -> i64 {
    block.as_ref().map_or_else(|corrupt| corrupt.number, |row| row.number)
}

/// The first index of a block.
pub(crate) fn first_index(block: &ReadBlock) -> u32 {
    block.as_ref().map_or_else(|corrupt| corrupt.base_index, |row| row.block.base_index)
}

/// The offsets of a block behind an index.
pub(crate) fn behind(block: &ReadBlock, after: Option<u32>) -> OffsetSet {
    match block {
        Ok(row) => row.between(after, u32::MAX),
        Err(corrupt) => between(corrupt.base_index, corrupt.count, after, u32::MAX),
    }
}

/// The offsets of a block with indices behind one, up to another one.
fn between(base_index: u32, count: u16, after: Option<u32>, until: u32) -> OffsetSet {
    let offset = |index: u32| u16::try_from(index.saturating_sub(base_index)).unwrap_or(count);
    let from = after.map_or(0, |after| if after < base_index { 0 } else { offset(after).saturating_add(1) });
    let behind = if until < base_index { 0 } else { offset(until).saturating_add(1) };
    OffsetSet::first(behind.min(count)).without(&OffsetSet::first(from.min(count)))
}

/// A block, as transitions of its leaves need it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockRow {
    pub(crate) number: i64,
    pub(crate) count: u16,
    pub(crate) is_parent: bool,
    pub(crate) kind: i64,
    pub(crate) priority: i64,
    /// Whether a task has an input of its own.
    pub(crate) has_inputs: bool,
    pub(crate) block: Block,
}

impl BlockRow {
    /// Reads [`block_columns`] from this column on.
    pub(crate) fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<Self> {
        let number: i64 = row.get(column)?;
        let prefix = row.get_ref(column + 1)?.as_str()?;
        let base_id = base_id(prefix, row.get(column + 2)?, column + 1)?;
        let run: RunKey = keys::key(row, column + 4)?;
        let base_index: u32 = row.get(column + 6)?;
        let parent = keys::parent_key(run, row, column + 5)?;
        let count: u16 = row.get(column + 3)?;
        let last = base_id.wrapping_add(u128::from(count.wrapping_sub(1)));
        if count == 0 || base_id >> ID_BITS != last >> ID_BITS {
            return Err(columns::unreadable(column + 3, format_args!("{count} is not a number of tasks")));
        }
        if base_index.checked_add(u32::from(count)).is_none() {
            return Err(columns::unreadable(column + 6, format_args!("{base_index} is not an index")));
        }
        let is_parent = row.get(column + 7)?;
        Ok(Self {
            number,
            // Each parent is a block of its own.
            count: if is_parent { 1 } else { count },
            is_parent,
            kind: row.get(column + 11)?,
            priority: row.get(column + 12)?,
            has_inputs: row.get(column + 13)?,
            block: Block {
                base: task_key(number, 0),
                base_id,
                base_index,
                position: Position { parent, is_join: base_index == 0 },
                max_retries: columns::readable_max_retries(row, column + 8)?,
                backoff: columns::readable_backoff(row, column + 9),
                // Only a claim needs it, and checks it.
                timeout_ms: row.get(column + 10).unwrap_or_default(),
            },
        })
    }

    pub(crate) fn parent(&self) -> ParentKey {
        self.block.position.parent
    }

    /// The number that the last two characters of the id at offset 0 stand for.
    pub(crate) fn low(&self) -> u16 {
        u16::try_from(self.block.base_id % u128::from(OffsetSet::MAX)).unwrap_or_default()
    }

    pub(crate) fn run(&self) -> RunKey {
        self.parent().run
    }

    pub(crate) fn id(&self, offset: u16) -> TaskId {
        TaskId::from_u128(self.block.base_id.wrapping_add(u128::from(offset)))
    }

    pub(crate) fn index(&self, offset: u16) -> u32 {
        self.block.base_index.wrapping_add(u32::from(offset))
    }

    /// The first and the last key of some tasks; `None` for no task.
    pub(crate) fn keys(&self, set: &OffsetSet) -> Option<[i64; 2]> {
        let key = |offset| task_key(self.number, offset).row();
        Some([key(set.iter().next()?), key(set.last()?)])
    }

    /// The offsets behind an index, up to another one.
    pub(crate) fn between(&self, after: Option<u32>, until: u32) -> OffsetSet {
        between(self.block.base_index, self.count, after, until)
    }
}

/// Reads a block; `None` also for one that another program damaged.
pub(crate) fn by_number(connection: &Connection, block: i64) -> Result<Option<BlockRow>> {
    Ok(read_by_number(connection, block)?.and_then(std::result::Result::ok))
}

/// Reads a block, as far as it can be read.
pub(crate) fn read_by_number(connection: &Connection, block: i64) -> Result<Option<ReadBlock>> {
    connection.first(BY_NUMBER, [block], |row| read(row, 0))
}

/// Finds the block of the task with this id, and the offset there; `None` also for a block that another program damaged. A
/// task of a run that is being pruned does not exist.
pub(crate) fn by_id(connection: &Connection, id: TaskId) -> Result<Option<(BlockRow, u16)>> {
    let (block, offset) = read_by_id(connection, id)?.unzip();
    Ok(block.and_then(std::result::Result::ok).zip(offset))
}

/// The same, as far as the block can be read.
pub(crate) fn read_by_id(connection: &Connection, id: TaskId) -> Result<Option<(ReadBlock, u16)>> {
    let (prefix, low) = id_columns(id);
    let block = connection.first(BY_ID, params![prefix, low], |row| read(row, 0))?;
    Ok(block.map(|block| {
        let first = match &block {
            Ok(row) => row.low(),
            Err(corrupt) => corrupt.low,
        };
        (block, low.saturating_sub(first))
    }))
}

/// The next blocks of a parent whose last index is larger than `after`, in the order of their indices.
pub(crate) fn of_parent(
    connection: &Connection,
    parent: ParentKey,
    after: u32,
    limit: u32,
) -> Result<Vec<ReadBlock>> {
    let (run, parent) = keys::parent_columns(parent);
    connection.all(OF_PARENT, params![run, parent, after, limit], |row| read(row, 0))
}

/// A damaged block as an error, for readers.
pub(crate) fn readable(block: ReadBlock) -> Result<BlockRow> {
    block.map_err(|corrupt| columns::bad_row("block", corrupt.number, &corrupt.reason))
}

const BY_NUMBER: &str = concat!("SELECT ", block_columns!(), " FROM conductor_blocks b WHERE b.block = ?1");

/// Blocks do not overlap, so that only the nearest before the id can have it.
const BY_ID: &str = concat!(
    "SELECT ",
    block_columns!(),
    " FROM (SELECT * FROM conductor_blocks WHERE prefix = ?1 AND low <= ?2 ORDER BY low DESC LIMIT 1) b \
     WHERE ?2 < b.low + b.count AND NOT EXISTS (SELECT 1 FROM conductor_prune_queue p WHERE p.run = b.run)"
);

/// A block has at most 1,024 indices, so that its first is larger than `after` - 1,024. ?4 may be -1 for all blocks.
pub(super) const OF_PARENT: &str = concat!(
    "SELECT ",
    block_columns!(),
    " FROM conductor_blocks b WHERE b.run = ?1 AND b.parent = ?2 AND b.child_index > max(?3 - 1024, 0) \
     AND b.child_index + b.count - 1 > ?3 ORDER BY b.child_index LIMIT ?4"
);
