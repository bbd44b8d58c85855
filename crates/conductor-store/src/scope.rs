//! Names what a request is about.

use conductor_model::{RunId, TaskId};
use std::fmt;

/// One run, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every run in the store.
    All,
    /// One run.
    Run(RunId),
}

/// The id of a node of the tree: a run or a task. A run is the parent of its root tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeId {
    /// A task.
    Task(TaskId),
    /// A run.
    Run(RunId),
}

impl From<RunId> for Scope {
    fn from(id: RunId) -> Self {
        Self::Run(id)
    }
}

impl From<TaskId> for NodeId {
    fn from(id: TaskId) -> Self {
        Self::Task(id)
    }
}

impl From<RunId> for NodeId {
    fn from(id: RunId) -> Self {
        Self::Run(id)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(id) => write!(f, "task {id}"),
            Self::Run(id) => write!(f, "run {id}"),
        }
    }
}
