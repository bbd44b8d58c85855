//! Cancel a task with all below it, or a run.

use crate::{NodeId, StoreError};
use conductor_model::{ErrorText, RunId, State, TaskId, Timestamp};

/// Cancel a leaf, a parent with all below it, or a run.
///
/// A leaf is cancelled at once. A parent or a run is marked: from then on nothing below it is created, started, appended
/// or sealed, the sweep cancels what is open below it in bounded transactions, and then it ends CANCELLED; or SUCCEEDED, if
/// its join was running and succeeds before the sweep comes to it.
#[derive(Clone, Debug)]
pub struct Cancel {
    /// What to cancel.
    pub target: NodeId,
    /// Why, for whoever asks later.
    pub reason: Option<ErrorText>,
    /// The present moment.
    pub now: Timestamp,
}

impl Cancel {
    /// Cancels a task, with all below it.
    pub fn task(id: TaskId, now: Timestamp) -> Self {
        Self { target: NodeId::Task(id), reason: None, now }
    }

    /// Cancels a run.
    pub fn run(id: RunId, now: Timestamp) -> Self {
        Self { target: NodeId::Run(id), reason: None, now }
    }

    /// Says why.
    pub fn reason(mut self, reason: impl Into<ErrorText>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

/// What became of a cancel.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// The leaf is CANCELLED.
    Cancelled,
    /// It is marked: what is open below it is cancelled by the sweep. If nothing was, it is CANCELLED already.
    Requested,
    /// It was cancelled, or marked, before: nothing changed.
    Unchanged,
    /// All below it was settled already, and so it ended in this state instead.
    AlreadySettled(State),
}

/// Nothing was cancelled. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// There is no such run or task.
    #[error("there is no {0}")]
    NotFound(NodeId),
    /// It has ended.
    #[error("{target} has ended: it is {state}")]
    AlreadySettled {
        /// What was to be cancelled.
        target: NodeId,
        /// Its state.
        state: State,
    },
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}
