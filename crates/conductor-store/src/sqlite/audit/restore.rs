//! Restores tasks and blocks whose rows were lost, and corrects what blocks say of their tasks.

use super::keys::stored_number;
use super::{parents, place};
use crate::backend::{AdminWritten, TaskColumns, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block::{self, BLOCK_COLUMNS, BlockRow, ReadBlock, block_columns, id_columns};
use crate::sqlite::rows::keys::{RowKey, parent_column, parent_columns};
use crate::sqlite::rows::places::behind_last;
use crate::sqlite::work::existing::next_key;
use conductor_model::{TaskId, Timestamp};
use rusqlite::{Connection, params};

/// What a block must say, so that the task at an offset has these columns.
#[derive(PartialEq, Eq)]
struct Identity {
    prefix: String,
    low: u16,
    child_index: u32,
    run: i64,
    parent: i64,
    is_parent: bool,
}

impl Identity {
    /// `None` if no block can have such a task there.
    fn of(offset: u16, columns: &TaskColumns) -> Option<Self> {
        let first = columns.id?.as_u128().checked_sub(u128::from(offset))?;
        let (prefix, low) = id_columns(TaskId::from_u128(first));
        Some(Self {
            prefix,
            low,
            child_index: u32::try_from(columns.position.index.checked_sub(i64::from(offset))?).ok()?,
            run: columns.run.row(),
            parent: parent_column(columns.position.parent),
            is_parent: columns.as_parent.sealed.is_some(),
        })
    }

    fn is_of(&self, row: &BlockRow) -> bool {
        let (prefix, low) = id_columns(TaskId::from_u128(row.block.base_id));
        let (run, parent) = parent_columns(row.parent());
        let (child_index, is_parent) = (row.block.base_index, row.is_parent);
        *self == Self { prefix, low, child_index, run, parent, is_parent }
    }

    /// Writes it to a block that exists, with this number of tasks. Returns whether no other row is in the way.
    fn write(&self, connection: &Connection, block: i64, count: u16) -> Result<bool> {
        let Self { prefix, low, child_index, run, parent, is_parent } = self;
        self.free_position(connection, block)?;
        let params = params![block, prefix, low, count, run, parent, child_index, is_parent];
        let is_written = connection.run(WRITE_IDENTITY, params)? > 0;
        copy_from_block(connection, block)?;
        Ok(is_written)
    }

    /// Moves any other block away from the position, to an index that no child has.
    fn free_position(&self, connection: &Connection, block: i64) -> Result<()> {
        let params = params![self.run, self.parent, self.child_index, block];
        connection.run(FREE_POSITION, params).map(drop)
    }
}

/// Writes what other rows repeat of a block.
pub(super) fn copy_from_block(connection: &Connection, block: i64) -> Result<()> {
    connection.run(COPY_TO_RANGES, [block])?;
    connection.run(COPY_TO_PARENT, [block]).map(drop)
}

/// Corrects a block, if it does not say of a task what its columns say. All tasks of the block say the same of it.
fn correct(connection: &Connection, block: &BlockRow, offset: u16, columns: &TaskColumns) -> Result<bool> {
    let identity = Identity::of(offset, columns);
    let count = match &identity {
        Some(identity) if identity.is_parent => 1,
        // It says nothing of its leaves while it is that of a parent.
        _ if block.is_parent => behind_last(connection, block.number)?.max(offset + 1),
        _ => block.count.max(offset + 1),
    };
    match identity {
        Some(identity) if identity.is_of(block) && count == block.count => Ok(true),
        Some(identity) => identity.write(connection, block.number, count),
        None => Ok(false),
    }
}

/// Inserts a task whose row was lost.
///
/// - Where the block is left, the task is put into its place. A block that another program made shorter gets it back.
/// - Where the block is lost or damaged, it is inserted again, or corrected. It has all leaves again whose places are left.
/// - A task without a key is a block of one.
pub(super) fn restore(
    connection: &Connection,
    key: Option<TaskKey>,
    columns: &TaskColumns,
    now: Timestamp,
) -> Result<AdminWritten> {
    let known = match key {
        Some(key) => Some(block::place(key)),
        None => remains(connection, columns)?,
    };
    let (number, offset) = match known {
        Some(known) => known,
        None => (next_key(connection, "conductor_blocks")?, 0),
    };
    let is_ready = match block::read_by_number(connection, number)? {
        Some(Ok(row)) => correct(connection, &row, offset, columns)?,
        damaged => match restore_block(connection, damaged.as_ref(), (number, offset), columns)? {
            Some(is_ready) => is_ready,
            None => return Ok(AdminWritten::NoTemplate),
        },
    };
    let key = block::task_key(number, offset);
    let is_written = is_ready && write_place(connection, key, columns, now)?;
    Ok(if is_written { AdminWritten::Restored(key) } else { AdminWritten::NoKey })
}

/// Writes a task whose block exists. Returns whether no other row was in the way.
pub(super) fn write(
    connection: &Connection,
    key: TaskKey,
    columns: &TaskColumns,
    now: Timestamp,
) -> Result<bool> {
    let (number, offset) = block::place(key);
    match block::by_number(connection, number)? {
        Some(row) if correct(connection, &row, offset, columns)? => {
            write_place(connection, key, columns, now)
        }
        _ => Ok(false),
    }
}

/// Gives a block its number back, and its tasks their keys. Where both keys have a row, that of the new one stays.
pub(super) fn change_key(connection: &Connection, from: TaskKey, to: TaskKey) -> Result<usize> {
    let ((number, offset), (to, new_offset)) = (block::place(from), block::place(to));
    let stored = stored_number(connection, number)?;
    if stored == number && offset != new_offset {
        return Ok(0);
    }
    let moved = connection.run(CHANGE_NUMBER, [stored, to])?;
    if moved > 0 {
        connection.run(MOVE_RANGES, [stored, to])?;
        if stored == number {
            for sql in MOVE_TASKS {
                connection.run(sql, [number, to])?;
            }
        }
    }
    Ok(moved)
}

/// Writes all of a task that its block does not say, if the block can be read.
fn write_place(connection: &Connection, key: TaskKey, columns: &TaskColumns, now: Timestamp) -> Result<bool> {
    let (number, offset) = block::place(key);
    let Some(block) = block::by_number(connection, number)? else { return Ok(false) };
    if columns.as_parent.sealed.is_some() {
        place::remove_leaf(connection, key)?;
        return parents::write(connection, block.block.base, columns, now);
    }
    connection.run("DELETE FROM conductor_parents WHERE task = ?1", [block.block.base.row()])?;
    copy_from_block(connection, number)?;
    let Some(condition) = place::condition(columns, now) else { return Ok(false) };
    place::put(connection, &block, offset, condition)?;
    Ok(true)
}

/// Where a task without a known key is: in the damaged block with its id or at its position, or in the first block of its run
/// without a row.
/// Lost blocks are restored in the order in which they were created, from their first task on.
fn remains(connection: &Connection, columns: &TaskColumns) -> Result<Option<(i64, u16)>> {
    let with_id = columns.id.map(|id| block::read_by_id(connection, id)).transpose()?.flatten();
    if let Some((Err(damaged), offset)) = with_id {
        return Ok(Some((damaged.number, offset)));
    }
    let (run, parent) = (columns.run.row(), parent_column(columns.position.parent));
    let index = columns.position.index;
    let at = connection.first(AT_POSITION, params![run, parent, index], |row| {
        let offset = u16::try_from(index - row.get::<_, i64>(BLOCK_COLUMNS)?).unwrap_or_default();
        Ok((block::read(row, 0)?, offset))
    })?;
    if let Some((block, offset)) = at {
        let number = block::number(&block);
        // A block that can be read has it only if its places say so.
        if block.is_err() || offset < behind_last(connection, number)? {
            return Ok(Some((number, offset)));
        }
    }
    let (number, _) = block::place(columns.position.parent.unwrap_or_default());
    let lost = connection.first(WITHOUT_BLOCK, [run, number], |row| row.get(0))?.flatten();
    Ok(lost.map(|number| (number, 0)))
}

/// Inserts a block that was lost, or corrects a damaged one. `None` without a row that says what the block had.
fn restore_block(
    connection: &Connection,
    damaged: Option<&ReadBlock>,
    (number, offset): (i64, u16),
    columns: &TaskColumns,
) -> Result<Option<bool>> {
    let Some(identity) = Identity::of(offset, columns) else { return Ok(Some(false)) };
    let count = behind_last(connection, number)?.max(offset + 1);
    if damaged.is_some() {
        return identity.write(connection, number, count).map(Some);
    }
    let sql = if columns.position.index == 0 { INSERT_JOIN } else { INSERT_CHILD };
    identity.free_position(connection, number)?;
    let Identity { prefix, low, child_index, run, parent, is_parent } = identity;
    let is_template = if columns.position.index == 0 { HAS_JOIN_PLAN } else { HAS_PARENT };
    if connection.first(is_template, [run, parent], |_| Ok(()))?.is_none() {
        return Ok(None);
    }
    let params = params![number, prefix, low, count, run, parent, child_index, is_parent];
    Ok(Some(connection.run(sql, params)? > 0))
}

/// SQLite checks the constraints of the columns that are written here, and not of the others.
const WRITE_IDENTITY: &str = "UPDATE OR IGNORE conductor_blocks SET prefix = ?2, low = ?3, count = ?4, run = ?5, \
    parent = ?6, child_index = ?7, is_parent = ?8 WHERE block = ?1";

const CHANGE_NUMBER: &str = "UPDATE OR IGNORE conductor_blocks SET block = ?2 WHERE block = ?1";

const MOVE_RANGES: &str = "UPDATE conductor_ranges SET block = ?2 WHERE block = ?1 \
    AND NOT EXISTS (SELECT 1 FROM conductor_ranges WHERE block = ?2)";

macro_rules! move_tasks {
    ($table:literal) => {
        concat!(
            "UPDATE OR IGNORE ",
            $table,
            " SET task = task + 1024 * (?2 - ?1) WHERE task BETWEEN 1024 * ?1 AND 1024 * ?1 + 1023"
        )
    };
}

const MOVE_TASKS: [&str; 5] = [
    move_tasks!("conductor_ended"),
    move_tasks!("conductor_parents"),
    move_tasks!("conductor_outputs"),
    move_tasks!("conductor_errors"),
    move_tasks!("conductor_inputs"),
];

/// The largest index of a child is 10,000,000.
const FREE_POSITION: &str = "UPDATE OR IGNORE conductor_blocks SET child_index = 2147483648 + abs(block % 1000000000) \
    WHERE run = ?1 AND parent = ?2 AND child_index = ?3 AND block <> ?4";

const COPY_TO_RANGES: &str = "UPDATE conductor_ranges AS g SET run = b.run, parent = b.parent, kind = b.kind, \
    priority = b.priority FROM conductor_blocks b WHERE b.block = ?1 AND g.block = ?1";
const COPY_TO_PARENT: &str = "UPDATE conductor_parents AS t SET run = b.run \
    FROM conductor_blocks b WHERE b.block = ?1 AND t.task = 1024 * ?1";

const AT_POSITION: &str = concat!(
    "SELECT ",
    block_columns!(),
    ", b.child_index FROM conductor_blocks b WHERE b.run = ?1 AND b.parent = ?2 \
     AND b.child_index BETWEEN ?3 - 1023 AND ?3 ORDER BY b.child_index DESC LIMIT 1"
);

/// The block must be younger than that of the parent. It reads all rows, once for each lost block.
const WITHOUT_BLOCK: &str = "SELECT min(g.block) FROM conductor_ranges g WHERE g.run = ?1 AND g.block > ?2 \
    AND NOT EXISTS (SELECT 1 FROM conductor_blocks b WHERE b.block = g.block)";

const HAS_PARENT: &str = "SELECT 1 FROM conductor_blocks WHERE run = ?1 AND block = ?2 / 1024";
const HAS_JOIN_PLAN: &str = "SELECT 1 FROM conductor_joins j JOIN conductor_kinds k ON k.key = j.kind \
    WHERE j.run = ?1 AND j.parent = ?2";

macro_rules! insert_block {
    ($select:literal) => {
        concat!(
            "INSERT OR IGNORE INTO conductor_blocks (block, prefix, low, count, run, parent, child_index, is_parent, \
             has_inputs, created_at, kind, priority, max_retries, timeout_ms, backoff, names) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ",
            $select
        )
    };
}

/// Inserts a block of children, with what these have from their parent.
const INSERT_CHILD: &str = insert_block!(
    "p.created_at, p.kind, p.priority, p.max_retries, p.timeout_ms, p.backoff, \
     CASE WHEN ?8 AND json_valid(p.names) THEN json_array(json_extract(p.names, '$[0]') || '#' || ?7) END \
     FROM conductor_blocks p WHERE p.run = ?5 AND p.block = ?6 / 1024"
);

/// Inserts a join, from its plan.
const INSERT_JOIN: &str = insert_block!(
    "coalesce(p.created_at, r.created_at, 0), j.kind, coalesce(p.priority, 0), j.max_retries, j.timeout_ms, \
     j.backoff, CASE WHEN ?6 = 0 THEN json_array(k.name) END \
     FROM conductor_joins j JOIN conductor_kinds k ON k.key = j.kind \
     LEFT JOIN conductor_runs r ON r.key = j.run \
     LEFT JOIN conductor_blocks p ON j.parent <> 0 AND p.block = j.parent / 1024 \
     WHERE j.run = ?5 AND j.parent = ?6"
);
