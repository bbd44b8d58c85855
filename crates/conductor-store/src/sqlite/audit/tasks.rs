//! Tasks, with values that need not be valid.

use super::keys::stored_number;
use super::runs::parent;
use crate::backend::{
    AuditTask, AuditTasks, KeySet, LeafStatus, OffsetSet, ParentColumns, RunKey, StoredPosition, TaskColumns,
};
use crate::sqlite::connection::sql::{Result, Sql, break_if};
use crate::sqlite::rows::block::{self, BlockRow, block_columns};
use crate::sqlite::rows::inputs;
use crate::sqlite::rows::keys::{RowKey, parent_column};
use crate::sqlite::rows::nodes::{self, sets};
use crate::sqlite::rows::places::Places;
use conductor_model::Timestamp;
use rusqlite::{Connection, params};

/// See [`ReadTx::audit_tasks`](crate::backend::ReadTx::audit_tasks).
pub(crate) fn read(connection: &Connection, wanted: AuditTasks<'_>) -> Result<Vec<AuditTask>> {
    let mut tasks = Vec::new();
    match wanted {
        AuditTasks::After { run, position, limit } => after(connection, run, position, limit, &mut tasks)?,
        AuditTasks::Keys(keys) => {
            for (number, mut set) in sets(&KeySet::of(keys.iter().copied())) {
                let stored = stored_number(connection, number)?;
                if stored != number {
                    set = OffsetSet::first(OffsetSet::MAX);
                }
                if let Some(block) = block::by_number(connection, stored)? {
                    push(connection, &block, &set, &mut tasks)?;
                }
            }
        }
        AuditTasks::Ids(ids) => {
            for id in ids {
                if let Some((block, offset)) = block::by_id(connection, *id)? {
                    push(connection, &block, &OffsetSet::one(offset), &mut tasks)?;
                }
            }
        }
        AuditTasks::Position(run, StoredPosition { parent, index }) => {
            let params = params![run.row(), parent_column(parent), index];
            let block = connection.first(AT_POSITION, params, |row| block::read(row, 0))?;
            if let Some(Ok(block)) = block {
                let index = u32::try_from(index).unwrap_or_default();
                let set = block.between(index.checked_sub(1), index);
                push(connection, &block, &set, &mut tasks)?;
            }
        }
    }
    Ok(tasks)
}

fn after(
    connection: &Connection,
    run: RunKey,
    position: Option<StoredPosition>,
    limit: u32,
    tasks: &mut Vec<AuditTask>,
) -> Result<()> {
    let from = position.map_or((None, 0), |position| {
        (position.parent, u32::try_from(position.index + 1).unwrap_or_default())
    });
    let mut left = limit;
    nodes::from(connection, run, from, u32::MAX, |block, set| {
        // A damaged block has no task here.
        if let Ok(block) = block {
            let set = set.smallest(left);
            left -= set.len();
            push(connection, block, &set, tasks)?;
        }
        Ok(break_if(left == 0))
    })
}

/// What a leaf has instead of a state that is in no place, or a parent without a row of its own.
const IN_NO_PLACE: i64 = -1;
/// The same for a leaf that is in two places.
const IN_TWO_PLACES: i64 = -2;
/// The same for a task in a row that cannot be read, or repeats other values than its block has.
const UNREADABLE: i64 = -3;

/// Adds tasks of a block. What the block says of a task that is in no place is there, so the task exists.
fn push(
    connection: &Connection,
    block: &BlockRow,
    set: &OffsetSet,
    tasks: &mut Vec<AuditTask>,
) -> Result<()> {
    let set = set.and(&OffsetSet::first(block.count));
    if set.is_empty() {
        return Ok(());
    }
    let unknown_kind = connection.first(UNKNOWN_KIND, [block.number], |row| row.get(0))?.flatten();
    let with_input = inputs::present(connection, block.number)?;
    let first = tasks.len();
    if block.is_parent {
        tasks.push(parent_of(connection, block)?);
    } else {
        leaves_of(connection, block, &set, tasks)?;
    }
    for task in &mut tasks[first..] {
        let (_, offset) = block::place(task.key);
        (task.unknown_kind, task.has_input) = (unknown_kind, with_input.contains(offset));
    }
    Ok(())
}

/// A task with what its block says of it.
fn blank(block: &BlockRow, offset: u16, state: i64) -> AuditTask {
    AuditTask {
        key: block.block.base.plus(offset),
        row: TaskColumns {
            run: block.run(),
            id: Some(block.id(offset)),
            position: StoredPosition { parent: block.parent().task, index: i64::from(block.index(offset)) },
            state,
            due_at: None,
            attempt: 0,
            retry_count: 0,
            lease_until: None,
            engine: None,
            as_parent: ParentColumns::default(),
            swept: None,
        },
        unknown_kind: None,
        has_input: false,
    }
}

fn parent_of(connection: &Connection, block: &BlockRow) -> Result<AuditTask> {
    let read = connection.first(PARENT, [block.block.base.row()], |row| {
        if row.get::<_, Option<i64>>(13)? != Some(block.run().row()) {
            return Ok(blank(block, 0, UNREADABLE));
        }
        let mut task = blank(block, 0, row.get(0)?);
        (task.row.due_at, task.row.as_parent, task.row.swept) = (row.get(1)?, parent(row, 2)?, row.get(11)?);
        task.row.retry_count = row.get(12)?;
        Ok(task)
    })?;
    Ok(read.unwrap_or_else(|| blank(block, 0, IN_NO_PLACE)))
}

/// Adds leaves of a block, in the order of their indices.
fn leaves_of(
    connection: &Connection,
    block: &BlockRow,
    set: &OffsetSet,
    tasks: &mut Vec<AuditTask>,
) -> Result<()> {
    let first = tasks.len();
    let places = Places::read(connection, block.number, set)?;
    let in_two = places.in_two();
    let missing = places.missing(block.count);
    let mut intact = *set;
    for (damaged, _) in places.damaged(block.count) {
        let damaged = damaged.and(set);
        intact = intact.without(&damaged);
        tasks.extend(damaged.iter().map(|offset| {
            let state = match (in_two.contains(offset), missing.contains(offset)) {
                (true, _) => IN_TWO_PLACES,
                (_, true) => IN_NO_PLACE,
                _ => UNREADABLE,
            };
            blank(block, offset, state)
        }));
    }
    let foreign: Vec<i64> = connection.all(FOREIGN, [block.number], |row| row.get(0))?;
    for row in places.ranges() {
        let condition = &row.condition;
        if row.key.is_some_and(|key| foreign.contains(&key)) {
            tasks.extend(row.set.and(&intact).iter().map(|offset| blank(block, offset, UNREADABLE)));
            continue;
        }
        tasks.extend(row.set.and(&intact).iter().map(|offset| {
            let mut task = leaf(block, offset, &condition.status);
            task.row.lease_until = condition.lease_until.map(Timestamp::as_millis);
            task.row.engine = condition.engine;
            task
        }));
    }
    let ended = places.ended().filter(|(offset, _)| intact.contains(*offset));
    tasks.extend(ended.map(|(offset, status)| leaf(block, offset, &status)));
    tasks[first..].sort_unstable_by_key(|task| task.key);
    Ok(())
}

fn leaf(block: &BlockRow, offset: u16, status: &LeafStatus) -> AuditTask {
    let mut task = blank(block, offset, status.state.code());
    task.row.due_at = status.due_at.map(Timestamp::as_millis);
    task.row.attempt = i64::from(status.attempt);
    task.row.retry_count = i64::from(status.retry_count);
    task
}

const AT_POSITION: &str = concat!(
    "SELECT ",
    block_columns!(),
    " FROM conductor_blocks b WHERE b.run = ?1 AND b.parent = ?2 AND b.child_index <= ?3 \
     AND b.child_index + b.count > ?3 ORDER BY b.child_index DESC LIMIT 1"
);

const UNKNOWN_KIND: &str = "SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM conductor_kinds k WHERE k.key = b.kind) \
    THEN b.kind END FROM conductor_blocks b WHERE b.block = ?1";

const PARENT: &str = "SELECT state, due_at, sealed, fanout, children, open_children, failed_children, \
    cancelled_children, policy, cancel_cause, join_open, swept, coalesce(retry_count, 0), run FROM conductor_parents WHERE task = ?1";

/// Rows that repeat other values than the block has: claims and steps do not find their leaves.
const FOREIGN: &str = "SELECT g.key FROM conductor_ranges g JOIN conductor_blocks b ON b.block = g.block \
    WHERE g.block = ?1 \
    AND (g.run IS NOT b.run OR g.parent IS NOT b.parent OR g.kind IS NOT b.kind OR g.priority IS NOT b.priority)";
