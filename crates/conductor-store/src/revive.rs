//! Try settled leaves again, as a person asks for it.

use crate::{NodeId, StoreError};
use conductor_model::{RunId, State, TaskId, Timestamp};

/// Try failed or cancelled work again.
///
/// The leaf is PENDING again, with all its retries; exactly its ancestors reopen, and nothing else runs again.
#[derive(Clone, Copy, Debug)]
pub enum Revive {
    /// One leaf, or one join.
    Leaf {
        /// The leaf.
        task: TaskId,
        /// The present moment.
        now: Timestamp,
    },
    /// All leaves below a parent, or of a run, that ended so; one bounded transaction after the other.
    All {
        /// Where.
        below: NodeId,
        /// Which.
        which: ReviveFilter,
        /// The task after which it goes on; from the first one without.
        cursor: Option<TaskId>,
        /// The bound of the transaction, in tasks that are looked at; 0 counts as 1.
        limit: u32,
        /// The present moment.
        now: Timestamp,
    },
}

/// Which leaves are to be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviveFilter {
    /// Those that FAILED.
    Failed,
    /// Those that FAILED or were CANCELLED, and parents that were cancelled before all their children existed: these go on
    /// creating them.
    FailedAndCancelled,
}

impl ReviveFilter {
    /// Whether something that ended in this state is among them.
    pub fn includes(self, state: State) -> bool {
        state == State::Failed || state == State::Cancelled && self == Self::FailedAndCancelled
    }
}

impl Revive {
    /// Tries one leaf again.
    pub fn leaf(task: TaskId, now: Timestamp) -> Self {
        Self::Leaf { task, now }
    }

    /// Tries all leaves of a run again that ended so.
    pub fn run(run: RunId, which: ReviveFilter, now: Timestamp) -> Self {
        Self::All { below: NodeId::Run(run), which, cursor: None, limit: 1000, now }
    }

    /// Tries all leaves below a parent again that ended so.
    pub fn below(task: TaskId, which: ReviveFilter, now: Timestamp) -> Self {
        Self::All { below: NodeId::Task(task), which, cursor: None, limit: 1000, now }
    }

    /// Goes on after the task at which the last transaction stopped.
    pub fn after(mut self, task: TaskId) -> Self {
        if let Self::All { cursor: after, .. } = &mut self {
            *after = Some(task);
        }
        self
    }
}

/// What was revived.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReviveOutcome {
    /// How many leaves are PENDING again.
    pub tasks: u32,
    /// How many parents, or runs, are RUNNING again.
    pub reopened: u32,
    /// How many were left alone, because something above them has SUCCEEDED, runs its join, or is still being cancelled; one
    /// more if that is true of what all was to be revived below.
    pub skipped: u32,
    /// Where the next transaction goes on; `None` after the last.
    pub next: Option<TaskId>,
}

/// Nothing was revived. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReviveError {
    /// There is no such run or task.
    #[error("there is no {0}")]
    NotFound(NodeId),
    /// It is a parent: its state follows from its children.
    #[error("task {0} is a parent: its state follows from its children; revive those below it")]
    Parent(TaskId),
    /// It has neither failed for good nor been cancelled.
    #[error(
        "task {task} is {state}{}: only what failed for good or was cancelled can be revived",
        if *state == State::Failed { ", and is retried when its time comes" } else { "" }
    )]
    NotSettled {
        /// The task.
        task: TaskId,
        /// Its state.
        state: State,
    },
    /// Something above it has SUCCEEDED, which nothing takes back: it tolerated the failure.
    #[error("{0} above it has SUCCEEDED, for it tolerated this failure: submit the work again as a new run")]
    AncestorSucceeded(NodeId),
    /// Something above it is still being cancelled.
    #[error("{0} above it is still being cancelled: wait until it has ended")]
    CancelInProgress(NodeId),
    /// The join of something above it runs, on the results as they are.
    #[error(
        "the join of {0} above it runs on the results as they are: wait until it has ended, or cancel it"
    )]
    JoinRunning(NodeId),
    /// It is a join, and what is before it is not settled as it must be.
    #[error("join {0} runs by itself when all before it have ended well enough: revive those")]
    JoinNotReady(TaskId),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}
