//! Tasks, as transitions need them: the leaves of a block in the same condition are a group.

use crate::backend::{
    CorruptTask, KeySet, LeafStatus, Node, NodesWanted, OffsetSet, ParentKey, ReadParent, TaskGroup, TaskKey,
};
use crate::sqlite::connection::sql::{Result, Sql, fault};
use crate::sqlite::rows::block::{self, BlockRow, ReadBlock};
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::parents;
use crate::sqlite::rows::places::{self, Places};
use crate::sqlite::rows::set::in_order;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// How many blocks the first statement reads. Each further one reads twice as many, up to [`LARGEST_PAGE`].
const FIRST_PAGE: u32 = 4;
const LARGEST_PAGE: u32 = 64;

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
        NodesWanted::From { run, position: (parent, index), limit } => {
            let mut remaining = limit;
            for block in from(connection, (run.row(), parent.map_or(0, TaskKey::row), index), limit)? {
                let set = behind(&block, (parent, index)).smallest(remaining);
                remaining -= set.len();
                push_in_order(connection, &block, &set, &mut nodes)?;
            }
        }
    }
    Ok(nodes)
}

/// The offsets of a block from a position on.
pub(crate) fn behind(block: &ReadBlock, (parent, index): (Option<TaskKey>, u32)) -> OffsetSet {
    let after = if block::parent(block) == parent { index.checked_sub(1) } else { None };
    match block {
        Ok(row) => row.between(after, u32::MAX),
        Err(corrupt) => corrupt.behind(after),
    }
}

/// Visits the blocks of the next children of a parent behind an index, at most `limit` children, until `visit` breaks off.
pub(crate) fn children(
    connection: &Connection,
    parent: ParentKey,
    mut after: u32,
    limit: u32,
    mut visit: impl FnMut(&ReadBlock, &OffsetSet) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let (mut remaining, mut page) = (limit, FIRST_PAGE);
    while remaining > 0 {
        // A block with another count than it says may be found once more.
        let blocks = block::of_parent(connection, parent, after, page)?;
        page = (2 * page).min(LARGEST_PAGE);
        let next = blocks.iter().map(block::last_index).max().unwrap_or_default();
        for block in &blocks {
            let set = match block {
                Ok(row) => row.between(Some(after), u32::MAX),
                Err(corrupt) => corrupt.behind(Some(after)),
            };
            let set = set.smallest(remaining);
            if !set.is_empty() {
                remaining -= set.len();
                if visit(block, &set)?.is_break() {
                    return Ok(());
                }
            }
        }
        if next <= after {
            break;
        }
        after = next;
    }
    Ok(())
}

/// The blocks of a run from a position on, in the order of their positions, with at least `limit` tasks if there are as many.
pub(crate) fn from(
    connection: &Connection,
    (run, parent, index): (i64, i64, u32),
    limit: u32,
) -> Result<Vec<ReadBlock>> {
    // The block that has the index begins at most so far before it.
    let least = index.saturating_sub(u32::from(OffsetSet::MAX));
    let first = (Some(TaskKey::of_row(parent)).filter(|_| parent != 0), index);
    let mut statement = connection.cached(FROM)?;
    let mut rows = statement.query(params![run, parent, least, index]).map_err(fault)?;
    let (mut blocks, mut tasks) = (Vec::new(), 0);
    while tasks < limit
        && let Some(row) = rows.next().map_err(fault)?
    {
        let block = block::read(row, 0).map_err(fault)?;
        tasks += behind(&block, first).len();
        blocks.push(block);
    }
    Ok(blocks)
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
