//! Cancels a task with all tasks below it, or a run.

use crate::{NodeId, StoreError};
use conductor_model::{ErrorText, RunId, State, TaskId, Timestamp};

/// A request to cancel a leaf, a parent with all tasks below it, or a run.
///
/// A leaf is cancelled at once. A parent or a run gets a cancel cause. From then on nothing below it is created, started,
/// appended or sealed. The sweep cancels the open tasks below it in bounded transactions. Then it is CANCELLED. If its join
/// is running and succeeds before the sweep cancels it, the parent or run is SUCCEEDED instead.
#[derive(Clone, Debug)]
pub struct Cancel {
    /// The task or run to cancel.
    pub target: NodeId,
    /// The reason, which the event and `explain` show. It is cut at 64 KiB.
    pub reason: Option<ErrorText>,
    /// The present moment.
    pub now: Timestamp,
}

impl Cancel {
    /// Creates a request for a task and all tasks below it.
    pub fn task(id: TaskId, now: Timestamp) -> Self {
        Self { target: NodeId::Task(id), reason: None, now }
    }

    /// Creates a request for a run.
    pub fn run(id: RunId, now: Timestamp) -> Self {
        Self { target: NodeId::Run(id), reason: None, now }
    }

    /// Sets the reason. Default: none.
    pub fn reason(mut self, reason: impl Into<ErrorText>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

/// The outcome of a cancel.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// The leaf is CANCELLED.
    Cancelled,
    /// The parent or run has a cancel cause. The sweep cancels the open tasks below it. If there were none, it is CANCELLED
    /// already.
    Requested,
    /// It was cancelled or being cancelled before. Nothing changed.
    Unchanged,
    /// All tasks below it were settled already. It was settled in this state instead.
    AlreadySettled(State),
}

/// A cancel failed. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// The task or run does not exist.
    #[error("{0} does not exist; check the id, or whether the run was pruned")]
    NotFound(NodeId),
    /// The task or run is settled.
    #[error("{target} is {state} already; only open work can be cancelled")]
    AlreadySettled {
        /// The task or run.
        target: NodeId,
        /// Its state.
        state: State,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
