//! What a step or a question is about.

use conductor_model::{RunId, TaskId};
use std::fmt;

/// One run, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every run in the store.
    All,
    /// That run.
    Run(RunId),
}

/// What may have children: a task with a fan-out, or a run, which is the parent of its root tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeId {
    /// A task.
    Task(TaskId),
    /// A run.
    Run(RunId),
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
