//! What is remembered: one event per transition, in commit order.

use crate::id::{RunId, TaskId};
use crate::numbers::{ChildCounts, StateCounts};
use crate::policy::{CancelCause, Policy};
use crate::record::ErrorText;
use crate::retry::{AttemptFailure, RetryDecision};
use crate::time::Timestamp;
use crate::transition::{NodeType, Signal, State};
use serde::{Deserialize, Serialize};

/// Something that happened to a run or to one of its tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in commit order; the cursor of a reader that follows.
    pub seq: u64,
    /// The run.
    pub run: RunId,
    /// The task; `None` when it happened to the run.
    pub task: Option<TaskId>,
    /// When, by the clock of the step that did it.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub body: EventBody,
}

/// Why a task failed, for programs; the words are beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// Whoever worked on it said so; it is retried.
    Error,
    /// The same, and no retry is left.
    RetriesExhausted,
    /// The same, and a retry could not help.
    NotRetryable,
    /// It took longer than it may.
    TimedOut,
    /// Whoever claimed it is gone, or gave no sign of life in time.
    LeaseExpired,
}

/// What happened. Every state and number can be computed again from these alone: see [`Replay`](crate::Replay).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", content = "payload")]
pub enum EventBody {
    /// A run was submitted; its root tasks follow as `task.created`.
    #[serde(rename = "run.created")]
    RunCreated {
        /// What the failures of its root tasks mean for it; absent for the default.
        #[serde(default, skip_serializing_if = "is_default")]
        policy: Policy,
        /// Whether a join runs after its root tasks.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        has_join: bool,
    },
    /// The number of its root tasks is final.
    #[serde(rename = "run.sealed")]
    RunSealed {
        /// That number.
        total: u32,
    },
    /// The first of its tasks started.
    #[serde(rename = "run.started")]
    RunStarted,
    /// Its state follows from its root tasks.
    #[serde(rename = "run.aggregated")]
    RunAggregated {
        /// That state.
        state: State,
    },
    /// It was marked: what is open below it will be cancelled, and then it ends.
    #[serde(rename = "run.cancel_requested")]
    RunCancelRequested {
        /// Why, for programs.
        cause: CancelCause,
        /// Why, in the words of whoever did it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<ErrorText>,
    },
    /// What was open among its root tasks was cancelled, by one transaction.
    #[serde(rename = "run.swept")]
    RunSwept {
        /// Which of them, in ranges of their indices; a leaf is CANCELLED, a parent marked.
        children: Vec<(u32, u32)>,
    },
    /// A revived descendant set it RUNNING again.
    #[serde(rename = "run.reopened")]
    RunReopened,
    /// A root task was created, or a join.
    #[serde(rename = "task.created")]
    TaskCreated {
        /// Its ordinal among the root tasks, from 1; 0 on a join.
        index: u32,
        /// Whose join it is; absent on a root task, and on the join of a run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<TaskId>,
        /// What the failures of its children mean for it; absent for the default.
        #[serde(default, skip_serializing_if = "is_default")]
        policy: Policy,
        /// Whether a join runs after its children.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        has_join: bool,
        /// Absent on a leaf; on a parent how many children it will have, or that this is open.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fanout: Option<FanoutSize>,
    },
    /// Children were created, by one transaction.
    #[serde(rename = "task.fanned_out")]
    TaskFannedOut {
        /// The index of the first of them.
        first: u32,
        /// The index of the last of them.
        last: u32,
        /// The id of the first of them; the others' ids follow it one by one.
        first_id: TaskId,
        /// Those of them that are parents themselves: (index, how many children they will have).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parents: Vec<(u32, u32)>,
    },
    /// The number of its children is final.
    #[serde(rename = "task.sealed")]
    TaskSealed {
        /// That number.
        total: u32,
    },
    /// An attempt began; on a parent, its first child was created.
    #[serde(rename = "task.started")]
    TaskStarted,
    /// An attempt ended well.
    #[serde(rename = "task.succeeded")]
    TaskSucceeded,
    /// An attempt failed.
    #[serde(rename = "task.failed")]
    TaskFailed {
        /// Why, for programs.
        reason: FailureReason,
        /// Why, in words.
        error: ErrorText,
        /// When it is retried; absent when the failure is final.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due_at: Option<Timestamp>,
    },
    /// Its retry came due: it is PENDING again.
    #[serde(rename = "task.retried")]
    TaskRetried,
    /// It was handed back unfinished: it is PENDING again.
    #[serde(rename = "task.released")]
    TaskReleased,
    /// It was cancelled.
    #[serde(rename = "task.cancelled")]
    TaskCancelled {
        /// Why, in the words of whoever did it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<ErrorText>,
    },
    /// A parent was marked: what is open below it will be cancelled, and then it ends.
    #[serde(rename = "task.cancel_requested")]
    TaskCancelRequested {
        /// Why, for programs.
        cause: CancelCause,
        /// Why, in the words of whoever did it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<ErrorText>,
    },
    /// What was open among its children was cancelled, by one transaction.
    #[serde(rename = "task.swept")]
    TaskSwept {
        /// Which of them, in ranges of their indices; a leaf is CANCELLED, a parent marked.
        children: Vec<(u32, u32)>,
    },
    /// A person wants it to be tried again.
    #[serde(rename = "task.revived")]
    TaskRevived,
    /// A revived descendant set it RUNNING again.
    #[serde(rename = "task.reopened")]
    TaskReopened,
    /// Its state follows from its children.
    #[serde(rename = "task.aggregated")]
    TaskAggregated {
        /// That state.
        state: State,
    },
    /// A run was taken over from a file of the original.
    #[serde(rename = "run.adopted")]
    RunAdopted {
        /// Its state, after the takeover.
        state: State,
        /// Its numbers, computed from its tasks.
        child_counts: ChildCounts,
        /// Its tally, computed from its tasks.
        state_counts: StateCounts,
    },
    /// A task was taken over from a file of the original.
    #[serde(rename = "task.adopted")]
    TaskAdopted {
        /// Its parent there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<TaskId>,
        /// Its ordinal among its siblings.
        index: u32,
        /// Its state, after the takeover.
        state: State,
        /// Whether a retry is due on it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        retry_due: bool,
        /// How often it was retried.
        retry_count: u32,
        /// How often it was started, as far as that can be told.
        attempt: u32,
        /// Its numbers, computed from its children; absent on a leaf.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        child_counts: Option<ChildCounts>,
    },
    /// An event of the original's, kept for reading.
    #[serde(rename = "original")]
    Legacy {
        /// Its id there.
        id: String,
        /// Its name there.
        name: String,
        /// Its payload there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload: Option<String>,
    },
}

/// Whether it is said only because it is not the default.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How many children a root task will have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FanoutSize {
    /// So many.
    Fixed(u32),
    /// Nobody knows yet.
    Open,
}

impl EventBody {
    /// The name of the event: `task.started`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RunCreated { .. } => "run.created",
            Self::RunSealed { .. } => "run.sealed",
            Self::RunStarted => "run.started",
            Self::RunAggregated { .. } => "run.aggregated",
            Self::RunCancelRequested { .. } => "run.cancel_requested",
            Self::RunSwept { .. } => "run.swept",
            Self::RunReopened => "run.reopened",
            Self::TaskCreated { .. } => "task.created",
            Self::TaskFannedOut { .. } => "task.fanned_out",
            Self::TaskSealed { .. } => "task.sealed",
            Self::TaskStarted => "task.started",
            Self::TaskSucceeded => "task.succeeded",
            Self::TaskFailed { .. } => "task.failed",
            Self::TaskRetried => "task.retried",
            Self::TaskReleased => "task.released",
            Self::TaskCancelled { .. } => "task.cancelled",
            Self::TaskCancelRequested { .. } => "task.cancel_requested",
            Self::TaskSwept { .. } => "task.swept",
            Self::TaskRevived => "task.revived",
            Self::TaskReopened => "task.reopened",
            Self::TaskAggregated { .. } => "task.aggregated",
            Self::RunAdopted { .. } => "run.adopted",
            Self::TaskAdopted { .. } => "task.adopted",
            Self::Legacy { .. } => "original",
        }
    }
}

impl EventBody {
    /// The event of a leaf's failure, which carries what was decided of it.
    pub fn failed(failed: &AttemptFailure, after: RetryDecision) -> Self {
        Self::TaskFailed { reason: failed.reason(after), error: failed.text(), due_at: after.due_at() }
    }
}

/// Which event a legal transition leaves; `None` for a pair that leaves none of its own because it does not
/// exist, and for a leaf's failure, whose event is [`EventBody::failed`].
pub fn transition_event(shape: NodeType, signal: Signal) -> Option<EventBody> {
    use NodeType::{Leaf, Parent, Run};
    Some(match (shape, signal) {
        (Leaf | Parent, Signal::Start) => EventBody::TaskStarted,
        (Leaf, Signal::Succeed) => EventBody::TaskSucceeded,
        (Leaf, Signal::Cancel) => EventBody::TaskCancelled { reason: None },
        (Leaf, Signal::Release) => EventBody::TaskReleased,
        (Leaf, Signal::Retry) => EventBody::TaskRetried,
        (Leaf, Signal::Revive) => EventBody::TaskRevived,
        (Parent, Signal::Succeed) => EventBody::TaskAggregated { state: State::Succeeded },
        (Parent, Signal::Fail) => EventBody::TaskAggregated { state: State::Failed },
        (Parent, Signal::Cancel) => EventBody::TaskAggregated { state: State::Cancelled },
        (Parent, Signal::Reopen) => EventBody::TaskReopened,
        (Run, Signal::Start) => EventBody::RunStarted,
        (Run, Signal::Succeed) => EventBody::RunAggregated { state: State::Succeeded },
        (Run, Signal::Fail) => EventBody::RunAggregated { state: State::Failed },
        (Run, Signal::Cancel) => EventBody::RunAggregated { state: State::Cancelled },
        (Run, Signal::Reopen) => EventBody::RunReopened,
        (Leaf, Signal::Fail | Signal::Reopen)
        | (Parent | Run, Signal::Release | Signal::Retry | Signal::Revive) => return None,
    })
}
