//! Tasks and runs, as a transaction reads them.

use super::{ParentKey, Position, TaskGroup, TaskKey};
use crate::NodeId;
use conductor_model::{NodeStatus, NodeType, ParentStatus, State, StateCounts, Timestamp};

/// What is known of a parent or a run without its counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentNode {
    /// Its key, as the parent of its children.
    pub key: ParentKey,
    /// Its id.
    pub id: NodeId,
    /// The parent of the task; `None` for a run.
    pub above: Option<ParentKey>,
    /// The index of the task; 0 for a run.
    pub index: u32,
    /// The state.
    pub state: State,
    /// Before when a PENDING parent must not start.
    pub due_at: Option<Timestamp>,
}

impl ParentNode {
    /// Returns what a transition depends on.
    pub fn node_status(&self) -> NodeStatus {
        let node_type = if self.key.task.is_some() { NodeType::Parent } else { NodeType::Run };
        let retry_scheduled = self.state == State::Failed && self.due_at.is_some();
        NodeStatus { node_type, state: self.state, retry_scheduled }
    }
}

/// A parent or a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentRow {
    /// What it is.
    pub node: ParentNode,
    /// What its decision depends on.
    pub status: ParentStatus,
    /// Up to which index its children were swept.
    pub swept: u32,
    /// When what is open of the run is cancelled; `None` for a task.
    pub deadline: Option<Timestamp>,
    /// How many of all tasks of the run are in each state; zero for a task.
    pub state_counts: StateCounts,
}

impl ParentRow {
    /// The row of a parent whose counts cannot be read: without children.
    pub(crate) fn of_corrupt(node: ParentNode) -> Self {
        let (status, state_counts) = (ParentStatus::default(), StateCounts::default());
        Self { node, status, swept: 0, deadline: None, state_counts }
    }
}

/// A parent whose counters, or a run whose row, another program damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorruptParent {
    /// Its key.
    pub key: ParentKey,
    /// What of it can be read; always there for a task that is a parent.
    pub node: Option<Box<ParentNode>>,
    /// The damage.
    pub reason: String,
}

/// A parent or a run, as far as it can be read.
pub type ReadParent = Result<ParentRow, CorruptParent>;

/// A task whose own row another program damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorruptTask {
    /// Its key.
    pub key: TaskKey,
    /// Its index, as far as it can be read.
    pub index: u32,
    /// The damage.
    pub reason: String,
}

/// A task, or leaves of one block in the same condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Leaves.
    Leaves(TaskGroup),
    /// A parent.
    Parent(ReadParent),
    /// A task that cannot be read.
    Corrupt(CorruptTask),
}

impl Node {
    /// Returns where the tasks stand; `None` if that cannot be read.
    pub fn position(&self) -> Option<Position> {
        let of_parent = |node: &ParentNode| Some(Position { parent: node.above?, is_join: false });
        match self {
            Self::Leaves(group) => Some(group.block.position),
            Self::Parent(Ok(row)) => of_parent(&row.node),
            Self::Parent(Err(corrupt)) => of_parent(corrupt.node.as_ref()?),
            Self::Corrupt(_) => None,
        }
    }
}
