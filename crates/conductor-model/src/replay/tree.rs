//! The tasks of one run, by number, and the children of each parent.

use crate::state::{NodeStatus, NodeType, ParentStatus, State};
use crate::time::Timestamp;
use std::collections::HashMap;
use std::num::NonZero;

/// A task, as computed from the events of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunReplayTask {
    /// The number of its parent; `None` on a root task, and on the join of the run.
    pub parent: Option<u32>,
    /// The index among its siblings; 0 on a join.
    pub index: u32,
    /// The state.
    pub state: State,
    /// Whether a retry is scheduled.
    pub retry_scheduled: bool,
    /// The time of that retry, if the events contain it.
    pub due_at: Option<Timestamp>,
    /// How many times it has been retried.
    pub retry_count: u32,
    /// How many times it was started; 0 on a parent.
    pub attempt: u32,
    /// The status on which its decision depends; `None` on a leaf.
    pub status: Option<ParentStatus>,
}

/// A position in a list that takes 4 bytes, also as an `Option`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position(NonZero<u32>);

impl Position {
    fn of(position: u32) -> Option<Self> {
        NonZero::new(position.wrapping_add(1)).map(Self)
    }

    pub(super) fn get(self) -> u32 {
        self.0.get() - 1
    }
}

/// A task in 24 bytes, because a run may have ten million of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// `None` on a root task, and on the join of the run.
    pub(super) parent: Option<Position>,
    pub(super) index: u32,
    pub(super) retry_count: u32,
    pub(super) attempt: u32,
    /// Where the status of a parent is; `None` on a leaf.
    pub(super) status: Option<Position>,
    pub(super) state: State,
    pub(super) retry_scheduled: bool,
    /// False for a reserved number.
    pub(super) exists: bool,
}

impl Node {
    /// Creates a PENDING leaf.
    pub(super) fn new(parent: Option<u32>, index: u32) -> Self {
        Self {
            parent: parent.and_then(Position::of),
            index,
            retry_count: 0,
            attempt: 0,
            status: None,
            state: State::Pending,
            retry_scheduled: false,
            exists: true,
        }
    }

    pub(super) fn parent_number(&self) -> Option<u32> {
        self.parent.map(Position::get)
    }

    pub(super) fn is_join(&self) -> bool {
        self.index == 0
    }

    pub(super) fn node_status(&self) -> NodeStatus {
        let node_type = if self.status.is_some() { NodeType::Parent } else { NodeType::Leaf };
        NodeStatus { node_type, state: self.state, retry_scheduled: self.retry_scheduled }
    }
}

/// Children with consecutive indices and consecutive numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChildRange {
    /// The first index.
    pub(super) first: u32,
    /// The last index.
    pub(super) last: u32,
    /// The number of the first child.
    pub(super) number: u32,
}

/// The tasks of one run, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct TaskTree {
    nodes: Vec<Node>,
    /// The statuses of the parents among the nodes.
    statuses: Vec<ParentStatus>,
    /// The children of each parent; `None` is the run.
    children_by_parent: HashMap<Option<u32>, Vec<ChildRange>>,
    /// The times of due retries.
    due_at: HashMap<u32, Timestamp>,
}

impl TaskTree {
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn task(&self, number: u32) -> Option<RunReplayTask> {
        let node = self.nodes.get(number as usize).filter(|node| node.exists)?;
        Some(RunReplayTask {
            parent: node.parent_number(),
            index: node.index,
            state: node.state,
            retry_scheduled: node.retry_scheduled,
            due_at: self.due_at.get(&number).copied(),
            retry_count: node.retry_count,
            attempt: node.attempt,
            status: node.status.and_then(|at| self.statuses.get(at.get() as usize)).copied(),
        })
    }

    pub(super) fn reserve(&mut self) -> u32 {
        self.push(Node { exists: false, ..Node::new(None, 0) })
    }

    pub(super) fn push(&mut self, node: Node) -> u32 {
        let number = self.len();
        self.nodes.push(node);
        number
    }

    /// Adds a task under its reserved number, or under a new one.
    pub(super) fn insert(&mut self, reserved: Option<u32>, node: Node) -> Result<u32, String> {
        let Some(number) = reserved else { return Ok(self.push(node)) };
        let free = self.nodes.get_mut(number as usize).filter(|node| !node.exists);
        *free.ok_or("the task already exists")? = node;
        Ok(number)
    }

    pub(super) fn node(&mut self, number: u32) -> Result<&mut Node, String> {
        let node = self.nodes.get_mut(number as usize).filter(|node| node.exists);
        node.ok_or_else(|| "the task does not exist".into())
    }

    /// Returns the status of a parent; `None` on a leaf.
    pub(super) fn status(&mut self, number: u32) -> Option<&mut ParentStatus> {
        let position = self.nodes.get(number as usize).filter(|node| node.exists)?.status?;
        self.statuses.get_mut(position.get() as usize)
    }

    /// Stores the status of a parent; returns where.
    pub(super) fn push_status(&mut self, status: Option<ParentStatus>) -> Option<Position> {
        self.statuses.push(status?);
        u32::try_from(self.statuses.len() - 1).ok().and_then(Position::of)
    }

    pub(super) fn add_children(&mut self, parent: Option<u32>, children: ChildRange) {
        self.children_by_parent.entry(parent).or_default().push(children);
    }

    /// Returns the number of a child.
    pub(super) fn child(&self, parent: Option<u32>, index: u32) -> Option<u32> {
        let mut latest_first = self.children_by_parent.get(&parent)?.iter().rev();
        let range = latest_first.find(|range| (range.first..=range.last).contains(&index))?;
        Some(range.number + (index - range.first))
    }

    pub(super) fn set_due_at(&mut self, number: u32, due_at: Timestamp) {
        self.due_at.insert(number, due_at);
    }

    pub(super) fn clear_due_at(&mut self, number: u32) {
        self.due_at.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, Position};

    #[test]
    fn node_takes_24_bytes() {
        assert_eq!(size_of::<Node>(), 24);
    }

    #[test]
    fn position_excludes_only_largest_number() {
        for number in [0, 1, u32::MAX - 1] {
            assert_eq!(Position::of(number).map(Position::get), Some(number));
        }
        assert!(Position::of(u32::MAX).is_none());
    }
}
