//! Tasks as groups of leaves.

use super::state::{State, TaskRow};
use conductor_store::backend::{Node, OffsetSet, TaskGroup, TaskKey};
use std::collections::BTreeMap;

/// Groups leaves by block and condition, wherever they are in the list: two groups of a block may lie between each other.
pub(super) fn groups<'r>(leaves: impl IntoIterator<Item = &'r TaskRow>) -> Vec<TaskGroup> {
    let mut groups: Vec<TaskGroup> = Vec::new();
    let mut of_block: BTreeMap<TaskKey, Vec<usize>> = BTreeMap::new();
    for leaf in leaves {
        let known = of_block.entry(leaf.block.base).or_default();
        if let Some(nth) = known.iter().copied().find(|nth| groups[*nth].status == leaf.status) {
            groups[nth].offsets.insert(leaf.offset());
        } else {
            known.push(groups.len());
            groups.push(group(leaf));
        }
    }
    groups
}

/// Adds a leaf behind those of the last group, if it is alike; else it begins a group.
pub(super) fn push_in_order(groups: &mut Vec<TaskGroup>, leaf: &TaskRow) {
    let is_behind = |last: &TaskGroup| last.offsets.iter().last().is_some_and(|last| last < leaf.offset());
    match groups.last_mut() {
        Some(last) if last.block.base == leaf.block.base && last.status == leaf.status && is_behind(last) => {
            last.offsets.insert(leaf.offset());
        }
        _ => groups.push(group(leaf)),
    }
}

fn group(leaf: &TaskRow) -> TaskGroup {
    TaskGroup { block: leaf.block, offsets: OffsetSet::one(leaf.offset()), status: leaf.status }
}

impl State {
    /// Tasks in any order.
    pub(super) fn nodes<'r>(&self, tasks: impl IntoIterator<Item = &'r TaskRow>) -> Vec<Node> {
        let (leaves, parents): (Vec<&TaskRow>, Vec<&TaskRow>) =
            tasks.into_iter().partition(|task| task.is_leaf());
        let parents = parents.into_iter().map(|task| Node::Parent(self.read_parent(task.as_parent())));
        parents.chain(groups(leaves).into_iter().map(Node::Leaves)).collect()
    }

    /// Tasks in their order.
    pub(super) fn nodes_in_order<'r>(&self, tasks: impl IntoIterator<Item = &'r TaskRow>) -> Vec<Node> {
        let (mut nodes, mut groups) = (Vec::new(), Vec::new());
        for task in tasks {
            if task.is_leaf() {
                push_in_order(&mut groups, task);
            } else {
                nodes.extend(groups.drain(..).map(Node::Leaves));
                nodes.push(Node::Parent(self.read_parent(task.as_parent())));
            }
        }
        nodes.extend(groups.into_iter().map(Node::Leaves));
        nodes
    }
}
