//! Tasks, as transitions need them: the leaves of a block in the same condition are a group.

use crate::backend::{
    CorruptTask, LeafStatus, Node, NodesWanted, OffsetSet, ParentKey, ReadParent, TaskGroup, TaskKey,
};
use crate::ranges::rows::block::{self, BlockRow};
use crate::ranges::rows::parents;
use crate::ranges::rows::range_rows;
use crate::ranges::rows::set::in_order;
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::keys::RowKey;
use rusqlite::{Connection, Row, params};
use std::collections::BTreeMap;

/// How many blocks one statement reads.
const PAGE: u32 = 64;

/// The leaves of a block, in groups.
pub(in crate::ranges) fn groups(
    connection: &Connection,
    block: &BlockRow,
    within: &OffsetSet,
) -> Result<Vec<TaskGroup>> {
    let mut groups: Vec<TaskGroup> = Vec::new();
    for row in range_rows::of_block(connection, block.number, None)? {
        add(&mut groups, block, &row.set.and(within), row.condition.status);
    }
    for (offset, status) in ended(connection, block, within)? {
        add(&mut groups, block, &OffsetSet::one(offset), status);
    }
    Ok(groups)
}

pub(in crate::ranges) fn add(
    groups: &mut Vec<TaskGroup>,
    block: &BlockRow,
    set: &OffsetSet,
    status: LeafStatus,
) {
    if set.is_empty() {
        return;
    }
    let is_alike = |group: &&mut TaskGroup| group.block.base == block.block.base && group.status == status;
    match groups.iter_mut().rev().find(is_alike) {
        Some(group) => group.offsets = group.offsets.or(set),
        None => groups.push(TaskGroup { block: block.block, offsets: *set, status }),
    }
}

/// The leaves of a block that ended by themselves.
fn ended(connection: &Connection, block: &BlockRow, within: &OffsetSet) -> Result<Vec<(u16, LeafStatus)>> {
    let (Some(first), Some(last)) = (within.iter().next(), within.last()) else { return Ok(Vec::new()) };
    let keys = [block::task_key(block.number, first).row(), block::task_key(block.number, last).row()];
    let mut ended = connection.all(ENDED, keys, |row| {
        let (_, offset) = block::place(TaskKey::of_row(row.get(0)?));
        Ok((offset, ended_status(row, 1)?))
    })?;
    ended.retain(|(offset, _)| within.contains(*offset));
    Ok(ended)
}

/// Four columns: state, attempt, `retry_count`, `lease_losses`.
pub(in crate::ranges) fn ended_status(row: &Row<'_>, column: usize) -> rusqlite::Result<LeafStatus> {
    Ok(LeafStatus {
        state: columns::state(row, column)?,
        due_at: None,
        attempt: row.get(column + 1)?,
        retry_count: row.get(column + 2)?,
        lease_losses: columns::lease_losses(row, column + 3)?,
        is_claimed: false,
    })
}

/// The keys of each block.
pub(in crate::ranges) fn sets(keys: &[TaskKey]) -> BTreeMap<i64, OffsetSet> {
    let mut sets: BTreeMap<i64, OffsetSet> = BTreeMap::new();
    for key in keys {
        let (number, offset) = block::place(*key);
        sets.entry(number).or_default().insert(offset);
    }
    sets
}

/// Reads tasks.
pub(in crate::ranges) fn read(connection: &Connection, wanted: NodesWanted) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    match wanted {
        NodesWanted::Id(id) => {
            if let Some((row, offset)) = block::by_id(connection, id)? {
                push(connection, &row, &OffsetSet::one(offset), &mut nodes)?;
            }
        }
        NodesWanted::Children { parent, after, limit } => {
            children(connection, parent, after, limit, |row, set| push(connection, row, set, &mut nodes))?;
        }
        NodesWanted::From { run, position: (parent, index), limit } => {
            let mut remaining = limit;
            for row in from(connection, (run.row(), parent.map_or(0, TaskKey::row), index), limit)? {
                let is_first = row.parent().task == parent;
                let after = if is_first { index.checked_sub(1) } else { None };
                let set = row.between(after, u32::MAX).smallest(remaining);
                remaining -= set.len();
                push_in_order(connection, &row, &set, &mut nodes)?;
            }
        }
    }
    Ok(nodes)
}

/// Visits the blocks of the next children of a parent behind an index, at most `limit` children.
pub(in crate::ranges) fn children(
    connection: &Connection,
    parent: ParentKey,
    mut after: u32,
    limit: u32,
    mut visit: impl FnMut(&BlockRow, &OffsetSet) -> Result<()>,
) -> Result<()> {
    let mut remaining = limit;
    while remaining > 0 {
        let rows = block::of_parent(connection, parent, after, PAGE.min(remaining))?;
        let Some(last) = rows.last() else { break };
        let next = last.index(last.count - 1);
        for row in &rows {
            let set = row.between(Some(after), u32::MAX).smallest(remaining);
            if !set.is_empty() {
                remaining -= set.len();
                visit(row, &set)?;
            }
        }
        after = next;
    }
    Ok(())
}

/// The blocks of a run from a position on, in the order of their positions, with at least `limit` tasks if there are as many.
pub(in crate::ranges) fn from(
    connection: &Connection,
    (run, parent, index): (i64, i64, u32),
    limit: u32,
) -> Result<Vec<BlockRow>> {
    // The block that has the index begins at most so far before it.
    let least = index.saturating_sub(u32::from(OffsetSet::MAX));
    let params = params![run, parent, least, limit, index];
    let mut rows = connection.all(FROM, params, |row| BlockRow::read(row, 0))?;
    let mut tasks = 0;
    let needed = rows.iter().take_while(|row| {
        let is_needed = tasks < limit;
        tasks += u32::from(row.count);
        is_needed
    });
    let needed = needed.count();
    rows.truncate(needed);
    Ok(rows)
}

/// Adds the tasks of a block.
pub(in crate::ranges) fn push(
    connection: &Connection,
    row: &BlockRow,
    set: &OffsetSet,
    nodes: &mut Vec<Node>,
) -> Result<()> {
    if row.is_parent {
        let parent = parents::parent(connection, ParentKey::task(row.run(), row.block.base))?;
        nodes.push(parent_node(parent, row.index(0)));
    } else {
        nodes.extend(groups(connection, row, set)?.into_iter().map(Node::Leaves));
    }
    Ok(())
}

/// Adds the tasks of a block in the order of their keys.
fn push_in_order(
    connection: &Connection,
    row: &BlockRow,
    set: &OffsetSet,
    nodes: &mut Vec<Node>,
) -> Result<()> {
    let first = nodes.len();
    push(connection, row, set, nodes)?;
    let mut groups = Vec::new();
    for node in nodes.split_off(first) {
        match node {
            Node::Leaves(group) => groups.push(group),
            other => nodes.push(other),
        }
    }
    let sets: Vec<OffsetSet> = groups.iter().map(|group| group.offsets).collect();
    nodes.extend(in_order(&sets).into_iter().map(|(place, part)| Node::Leaves(groups[place].only(part))));
    Ok(())
}

/// A parent; a corrupt task if even its id or position cannot be read.
pub(in crate::ranges) fn parent_node(parent: ReadParent, index: u32) -> Node {
    match parent {
        Err(corrupt) if corrupt.node.is_none() => Node::Corrupt(CorruptTask {
            key: corrupt.key.task.unwrap_or_default(),
            index,
            reason: corrupt.reason,
        }),
        parent => Node::Parent(parent),
    }
}

const ENDED: &str = "SELECT task, state, attempt, retry_count, lease_losses FROM conductor_ended \
    WHERE task BETWEEN ?1 AND ?2";

const FROM: &str = concat!(
    "SELECT ",
    block::block_columns!(),
    " FROM conductor_blocks b WHERE b.run = ?1 AND (b.parent, b.child_index) >= (?2, ?3) \
     AND (b.parent > ?2 OR b.child_index + b.count - 1 >= ?5) ORDER BY b.parent, b.child_index LIMIT ?4"
);
