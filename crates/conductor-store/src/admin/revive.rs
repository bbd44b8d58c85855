//! Makes settled leaves PENDING again.

use crate::{NodeId, StoreError};
use conductor_model::{RunId, State, TaskId, Timestamp};

/// A request to run failed or cancelled leaves again.
///
/// A revived leaf is PENDING, with all its retries. Its ancestors reopen. No other task runs again.
#[derive(Clone, Copy, Debug)]
pub enum Revive {
    /// Revives one leaf or one join.
    Leaf {
        /// The leaf.
        task: TaskId,
        /// The present moment.
        now: Timestamp,
    },
    /// Revives the leaves below a parent or in a run that match a filter, in bounded transactions.
    All {
        /// The parent or run.
        below: NodeId,
        /// The leaves to revive.
        which: ReviveFilter,
        /// The task at which the last transaction stopped; `None` at the start.
        cursor: Option<TaskId>,
        /// The largest number of tasks that one transaction examines; 0 counts as 1.
        limit: u32,
        /// The present moment.
        now: Timestamp,
    },
}

/// Selects the leaves to revive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviveFilter {
    /// Leaves that are FAILED.
    Failed,
    /// Leaves that are FAILED or CANCELLED, and parents that were cancelled before all their children existed. Such parents
    /// continue to create children.
    FailedAndCancelled,
}

impl ReviveFilter {
    /// Returns whether the filter selects tasks in this state.
    pub fn includes(self, state: State) -> bool {
        state == State::Failed || state == State::Cancelled && self == Self::FailedAndCancelled
    }
}

impl Revive {
    /// Creates a request for one leaf.
    pub fn leaf(task: TaskId, now: Timestamp) -> Self {
        Self::Leaf { task, now }
    }

    /// Creates a request for all matching leaves of a run. Each transaction examines 1,000 tasks.
    pub fn run(run: RunId, which: ReviveFilter, now: Timestamp) -> Self {
        Self::All { below: NodeId::Run(run), which, cursor: None, limit: 1000, now }
    }

    /// Creates a request for all matching leaves below a parent. Each transaction examines 1,000 tasks.
    pub fn below(task: TaskId, which: ReviveFilter, now: Timestamp) -> Self {
        Self::All { below: NodeId::Task(task), which, cursor: None, limit: 1000, now }
    }

    /// Continues where the last transaction stopped: pass its [`ReviveOutcome::next`].
    pub fn after(mut self, task: TaskId) -> Self {
        if let Self::All { cursor, .. } = &mut self {
            *cursor = Some(task);
        }
        self
    }
}

/// The outcome of a revival: of one transaction, or the totals of all transactions for `Engine::revive_all`.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReviveOutcome {
    /// The number of leaves that are PENDING again.
    pub tasks: u32,
    /// The number of parents and runs that are RUNNING again.
    pub reopened: u32,
    /// The number of skipped leaves. An ancestor of each has SUCCEEDED, runs its join, or is still being cancelled. The parent
    /// or run of the request counts as one more if this is true of it.
    pub skipped: u32,
    /// The cursor for the next transaction; `None` after the last one, and in totals.
    pub next: Option<TaskId>,
}

/// A revival failed. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReviveError {
    /// The task or run does not exist.
    #[error("{0} does not exist; check the id, or whether the run was pruned")]
    NotFound(NodeId),
    /// The task is a parent. Its state follows from its children.
    #[error("task {0} is a parent; revive its failed children instead")]
    IsParent(TaskId),
    /// The task has neither failed permanently nor been cancelled.
    #[error(
        "task {task} is {state}{}; only permanently failed or cancelled tasks can be revived",
        if *state == State::Failed { " with a retry scheduled" } else { "" }
    )]
    NotRevivable {
        /// The task.
        task: TaskId,
        /// Its state.
        state: State,
    },
    /// An ancestor has tolerated the failure and SUCCEEDED. A success is final.
    #[error("ancestor {0} has SUCCEEDED despite the failure of the task; submit the work again as a new run")]
    AncestorSucceeded(NodeId),
    /// An ancestor is still being cancelled.
    #[error("ancestor {0} of the task is still being cancelled; wait until it is settled")]
    CancelInProgress(NodeId),
    /// The join of an ancestor is running on the present results.
    #[error(
        "the join of ancestor {0} is running on the present results; wait until it is settled, or cancel it"
    )]
    JoinRunning(NodeId),
    /// The task is a join, and its parent would not start it in the present state of the children.
    #[error(
        "join {0} cannot be revived before its siblings are settled successfully; revive the failed siblings instead"
    )]
    JoinNotReady(TaskId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
