//! Tasks, with values that need not be valid.

use super::runs::parent;
use crate::backend::{AuditTask, AuditTasks, OffsetSet, ParentColumns, RunKey, StoredPosition, TaskColumns};
use crate::ranges::reads::leaf_states;
use crate::ranges::rows::block::{self, BlockRow, block_columns};
use crate::ranges::rows::inputs;
use crate::ranges::rows::nodes::{from, sets};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::keys::{RowKey, parent_column};
use conductor_model::Timestamp;
use rusqlite::{Connection, params};

/// See [`ReadTx::audit_tasks`](crate::backend::ReadTx::audit_tasks).
pub(in crate::ranges) fn read(connection: &Connection, wanted: AuditTasks<'_>) -> Result<Vec<AuditTask>> {
    let mut tasks = Vec::new();
    match wanted {
        AuditTasks::After { run, position, limit } => after(connection, run, position, limit, &mut tasks)?,
        AuditTasks::Keys(keys) => {
            for (number, set) in sets(keys) {
                if let Some(block) = block::by_number(connection, number)? {
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
            if let Some(block) = connection.first(AT_POSITION, params, |row| BlockRow::read(row, 0))? {
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
    let (parent, index) = position.map_or((0, 0), |position| {
        (parent_column(position.parent), u32::try_from(position.index + 1).unwrap_or_default())
    });
    for block in from(connection, (run.row(), parent, index), limit)? {
        let is_first = parent_column(block.parent().task) == parent;
        let behind = if is_first { index.checked_sub(1) } else { None };
        let set = block.between(behind, u32::MAX);
        let remaining = limit.saturating_sub(u32::try_from(tasks.len()).unwrap_or(u32::MAX));
        push(connection, &block, &set.smallest(remaining), tasks)?;
    }
    Ok(())
}

/// Adds tasks of a block.
fn push(
    connection: &Connection,
    block: &BlockRow,
    set: &OffsetSet,
    tasks: &mut Vec<AuditTask>,
) -> Result<()> {
    let set = set.and(&OffsetSet::first(block.count));
    let unknown_kind = connection.first(UNKNOWN_KIND, [block.number], |row| row.get(0))?.flatten();
    let with_input = inputs::present(connection, block.number)?;
    let of = |offset: u16, state: i64| AuditTask {
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
        unknown_kind,
        has_input: with_input.contains(offset),
    };
    if block.is_parent {
        let read = connection.first(PARENT, [block.block.base.row()], |row| {
            let mut task = of(0, row.get(0)?);
            (task.row.due_at, task.row.as_parent, task.row.swept) =
                (row.get(1)?, parent(row, 2)?, row.get(11)?);
            task.row.retry_count = row.get(12)?;
            Ok(task)
        })?;
        tasks.extend(read.filter(|_| !set.is_empty()));
        return Ok(());
    }
    for leaf in leaf_states::of(connection, block.number, &set)? {
        let mut task = of(leaf.offset, leaf.status.state.code());
        task.row.due_at = leaf.status.due_at.map(Timestamp::as_millis);
        task.row.attempt = i64::from(leaf.status.attempt);
        task.row.retry_count = i64::from(leaf.status.retry_count);
        task.row.lease_until = leaf.lease_until.map(Timestamp::as_millis);
        task.row.engine = leaf.engine;
        tasks.push(task);
    }
    Ok(())
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
    cancelled_children, policy, cancel_cause, join_open, swept, coalesce(retry_count, 0) FROM conductor_parents WHERE task = ?1";
