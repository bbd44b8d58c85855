//! The progress of running tasks. Readers see it, but the event log does not record it.

use crate::id::TaskId;
use crate::text::ProgressMessage;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The progress of an attempt, in the unit of its handler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The amount of work done.
    pub done: u64,
    /// The amount of work in total; `None` if unknown.
    pub total: Option<u64>,
    /// The message for people.
    pub message: ProgressMessage,
}

/// The progress of a running task as a store returns it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskProgress {
    /// The task.
    pub task: TaskId,
    /// The attempt whose handler reported it.
    pub attempt: u32,
    /// When it was written.
    pub at: Timestamp,
    /// The reported progress.
    #[serde(flatten)]
    pub progress: Progress,
}
