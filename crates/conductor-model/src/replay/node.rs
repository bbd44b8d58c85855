//! A task, as the replay of a run changes it.

use crate::state::{NodeStatus, NodeType, State};

/// A task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// `None` on a root task, and on the join of the run.
    pub(super) parent: Option<u32>,
    pub(super) index: u32,
    pub(super) retry_count: u32,
    pub(super) attempt: u32,
    pub(super) is_parent: bool,
    pub(super) state: State,
    pub(super) retry_scheduled: bool,
}

impl Node {
    /// Creates a PENDING leaf.
    pub(super) fn new(parent: Option<u32>, index: u32) -> Self {
        Self {
            parent,
            index,
            retry_count: 0,
            attempt: 0,
            is_parent: false,
            state: State::Pending,
            retry_scheduled: false,
        }
    }

    pub(super) fn is_join(&self) -> bool {
        self.index == 0
    }

    pub(super) fn node_status(&self) -> NodeStatus {
        let node_type = if self.is_parent { NodeType::Parent } else { NodeType::Leaf };
        NodeStatus { node_type, state: self.state, retry_scheduled: self.retry_scheduled }
    }
}
