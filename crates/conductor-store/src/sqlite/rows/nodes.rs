//! Tasks, as transitions need them: the leaves of a block in the same condition are a group.

use crate::backend::{
    CorruptTask, KeySet, LeafStatus, Node, NodesWanted, OffsetSet, ParentKey, ReadParent, RunKey, TaskGroup,
    TaskKey,
};
use crate::sqlite::connection::sql::{Result, Sql, break_if, fault};
use crate::sqlite::rows::block::{self, BlockRow, OF_PARENT, ReadBlock};
use crate::sqlite::rows::keys::{RowKey, parent_column, parent_columns};
use crate::sqlite::rows::parents;
use crate::sqlite::rows::places::{self, Places};
use crate::sqlite::rows::set::in_order;
use rusqlite::{Connection, Params, params};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The leaves of a block, in groups; and those that another program damaged.
pub(crate) fn groups(
    connection: &Connection,
    block: &BlockRow,
    within: &OffsetSet,
) -> Result<(Vec<TaskGroup>, Vec<CorruptTask>)> {
    let places = Places::read(connection, block.number, within)?;
    let (mut intact, mut damaged) = (*within, Vec::new());
    for (set, reason) in places.damaged(block.count) {
        let set = set.and(within);
        intact = intact.without(&set);
        damaged.extend(set.iter().map(|offset| places::corrupt(block, offset, &reason)));
    }
    let mut groups: Vec<TaskGroup> = Vec::new();
    for row in places.ranges() {
        add(&mut groups, block, &row.set.and(&intact), row.condition.status);
    }
    for (offset, status) in places.ended() {
        add(&mut groups, block, &OffsetSet::one(offset).and(&intact), status);
    }
    Ok((groups, damaged))
}

pub(crate) fn add(groups: &mut Vec<TaskGroup>, block: &BlockRow, set: &OffsetSet, status: LeafStatus) {
    if set.is_empty() {
        return;
    }
    let is_alike = |group: &&mut TaskGroup| group.block.base == block.block.base && group.status == status;
    match groups.iter_mut().rev().find(is_alike) {
        Some(group) => group.offsets = group.offsets.or(set),
        None => groups.push(TaskGroup { block: block.block, offsets: *set, status }),
    }
}

/// The keys of each block.
pub(crate) fn sets(keys: &[KeySet]) -> BTreeMap<i64, OffsetSet> {
    let mut sets: BTreeMap<i64, OffsetSet> = BTreeMap::new();
    for KeySet { base, offsets } in keys {
        let (number, first) = block::place(*base);
        if first == 0 {
            let set = sets.entry(number).or_default();
            *set = set.or(offsets);
        } else {
            for (number, offset) in offsets.iter().map(|offset| block::place(base.plus(offset))) {
                sets.entry(number).or_default().insert(offset);
            }
        }
    }
    sets
}

/// Reads tasks.
pub(crate) fn read(connection: &Connection, wanted: NodesWanted) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    match wanted {
        NodesWanted::Id(id) => {
            if let Some((block, offset)) = block::read_by_id(connection, id)? {
                push(connection, &block, &OffsetSet::one(offset), &mut nodes)?;
            }
        }
        NodesWanted::Children { parent, after, limit } => {
            children(connection, parent, after, limit, |row, set| {
                push(connection, row, set, &mut nodes)?;
                Ok(ControlFlow::Continue(()))
            })?;
        }
        NodesWanted::From { run, position, limit } => {
            from(connection, run, position, limit, |block, set| {
                push_in_order(connection, block, set, &mut nodes)?;
                Ok(ControlFlow::Continue(()))
            })?;
        }
    }
    Ok(nodes)
}

/// Visits the blocks of the next children of a parent behind an index, at most `limit` children, until `visit` breaks off.
pub(crate) fn children(
    connection: &Connection,
    parent: ParentKey,
    after: u32,
    limit: u32,
    visit: impl FnMut(&ReadBlock, &OffsetSet) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let (run, parent) = parent_columns(parent);
    each_block(connection, (OF_PARENT, params![run, parent, after, -1]), limit, |_| Some(after), visit)
}

/// Visits the blocks of a run from a position on, in the order of their positions, at most `limit` tasks, until `visit` breaks
/// off.
pub(crate) fn from(
    connection: &Connection,
    run: RunKey,
    (parent, index): (Option<TaskKey>, u32),
    limit: u32,
    visit: impl FnMut(&ReadBlock, &OffsetSet) -> Result<ControlFlow<()>>,
) -> Result<()> {
    // The block that has the index begins at most so far before it.
    let least = index.saturating_sub(u32::from(OffsetSet::MAX));
    let params = params![run.row(), parent_column(parent), least, index];
    let after = |block: &ReadBlock| if block::parent(block) == parent { index.checked_sub(1) } else { None };
    each_block(connection, (FROM, params), limit, after, visit)
}

/// Visits the blocks that a statement finds, each with its tasks behind an index.
fn each_block(
    connection: &Connection,
    (sql, params): (&str, impl Params),
    mut limit: u32,
    after: impl Fn(&ReadBlock) -> Option<u32>,
    mut visit: impl FnMut(&ReadBlock, &OffsetSet) -> Result<ControlFlow<()>>,
) -> Result<()> {
    connection.each(sql, params, |row| {
        let block = block::read(row, 0).map_err(fault)?;
        let set = block::behind(&block, after(&block)).smallest(limit);
        limit -= set.len();
        let is_last = !set.is_empty() && visit(&block, &set)?.is_break();
        Ok(break_if(is_last || limit == 0))
    })
}

/// Adds the tasks of a block.
pub(crate) fn push(
    connection: &Connection,
    block: &ReadBlock,
    set: &OffsetSet,
    nodes: &mut Vec<Node>,
) -> Result<()> {
    let row = match block {
        Ok(row) => row,
        Err(corrupt) => {
            nodes.extend(set.iter().map(|offset| Node::Corrupt(corrupt.task(offset))));
            return Ok(());
        }
    };
    if row.is_parent {
        let parent = parents::parent(connection, ParentKey::task(row.run(), row.block.base))?;
        nodes.push(parent_node(parent, row.index(0)));
    } else {
        let (groups, damaged) = groups(connection, row, set)?;
        nodes.extend(groups.into_iter().map(Node::Leaves));
        nodes.extend(damaged.into_iter().map(Node::Corrupt));
    }
    Ok(())
}

/// Adds the tasks of a block in the order of their keys; those that another program damaged come first.
fn push_in_order(
    connection: &Connection,
    block: &ReadBlock,
    set: &OffsetSet,
    nodes: &mut Vec<Node>,
) -> Result<()> {
    let first = nodes.len();
    push(connection, block, set, nodes)?;
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
pub(crate) fn parent_node(parent: ReadParent, index: u32) -> Node {
    match parent {
        Err(corrupt) if corrupt.node.is_none() => Node::Corrupt(CorruptTask {
            key: corrupt.key.task.unwrap_or_default(),
            index,
            reason: corrupt.reason,
        }),
        parent => Node::Parent(parent),
    }
}

const FROM: &str = concat!(
    "SELECT ",
    block::block_columns!(),
    " FROM conductor_blocks b WHERE b.run = ?1 AND (b.parent, b.child_index) >= (?2, ?3) \
     AND (b.parent > ?2 OR b.child_index + b.count - 1 >= ?4) ORDER BY b.parent, b.child_index"
);
