//! The part of a run that is revived: all of it, or a task with all below it.

use crate::backend::{Node, ParentKey, RunKey, TaskGroup, TaskKey};
use crate::ops::scope::find_run;
use crate::ops::tx::{Transaction, corrupt_task, find_task, read_above};
use crate::{NodeId, StoreError};
use conductor_model::TaskId;

/// A run, or a task with all below it.
pub(super) struct Subtree {
    pub(super) run: RunKey,
    /// The task; `None` for the whole run.
    pub(super) root: Option<TaskKey>,
    /// The task, if it is a leaf.
    pub(super) leaf: Option<TaskGroup>,
}

/// The last of the tasks that were read together.
pub(super) struct Last {
    pub(super) parent: ParentKey,
    pub(super) index: u32,
    pub(super) id: TaskId,
    /// How many tasks were read together.
    pub(super) count: u32,
}

impl Last {
    pub(super) fn of(node: &Node) -> Result<Self, StoreError> {
        match node {
            Node::Leaves(group) => {
                let offset = group.offsets.iter().last().unwrap_or(0);
                let (index, id) = (group.index(offset), group.id(offset));
                Ok(Self { parent: group.parent(), index, id, count: group.len() })
            }
            Node::Parent(parent) => {
                let (key, node) = match parent {
                    Ok(row) => (row.node.key, Some(row.node)),
                    Err(corrupt) => (corrupt.key, corrupt.node.as_deref().copied()),
                };
                let unreadable = || corrupt_task(key.task.unwrap_or_default(), "it cannot be read");
                let node = node.ok_or_else(unreadable)?;
                let (Some(parent), NodeId::Task(id)) = (node.above, node.id) else {
                    return Err(unreadable());
                };
                Ok(Self { parent, index: node.index, id, count: 1 })
            }
            Node::Corrupt(corrupt) => Err(corrupt_task(corrupt.key, &corrupt.reason)),
        }
    }
}

impl Subtree {
    pub(super) fn find(t: &mut Transaction<'_, '_>, below: NodeId) -> Result<Option<Self>, StoreError> {
        match below {
            NodeId::Run(id) => {
                let run = find_run(t.store()?, id)?;
                Ok(run.map(|run| Self { run, root: None, leaf: None }))
            }
            NodeId::Task(id) => match find_task(t, id)? {
                None => Ok(None),
                Some(Node::Leaves(leaf)) => {
                    let (run, root) = (leaf.parent().run, leaf.first().map(|offset| leaf.key(offset)));
                    Ok(Some(Self { run, root, leaf: Some(leaf) }))
                }
                Some(Node::Parent(parent)) => {
                    let key = parent.map_or_else(|corrupt| corrupt.key, |row| row.node.key);
                    Ok(Some(Self { run: key.run, root: key.task, leaf: None }))
                }
                Some(Node::Corrupt(corrupt)) => Err(corrupt_task(corrupt.key, &corrupt.reason)),
            },
        }
    }

    /// Where a task stands that an earlier call named; `None` if it is not in the same run.
    pub(super) fn position_of(
        &self,
        t: &mut Transaction<'_, '_>,
        id: TaskId,
    ) -> Result<Option<Last>, StoreError> {
        let last = find_task(t, id)?.map(|node| Last::of(&node)).transpose()?;
        Ok(last.filter(|last| last.parent.run == self.run))
    }

    /// Whether the children of this parent are in the subtree.
    pub(super) fn contains(
        &self,
        t: &mut Transaction<'_, '_>,
        parent: ParentKey,
    ) -> Result<bool, StoreError> {
        let Some(root) = self.root else { return Ok(true) };
        read_above(t, &[parent])?;
        Ok(t.ancestors.is_at_or_below(parent, root))
    }
}
