//! The names and payloads of events.

use crate::id::TaskId;
use crate::state::{
    AttemptFailure, CancelCause, ChildCounts, FailureReason, NodeType, Policy, RetryDecision, Signal, State,
    StateCounts,
};
use crate::text::ErrorText;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The name and payload of an event.
///
/// All states and counts can be computed from the events alone; see [`Replay`](crate::Replay).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", content = "payload")]
pub enum EventBody {
    /// A run was submitted. A `task.created` event follows for each root task.
    #[serde(rename = "run.created")]
    RunCreated {
        /// How failures of its root tasks count; missing for the default.
        #[serde(default, skip_serializing_if = "is_default")]
        policy: Policy,
        /// Whether a join runs after its root tasks; missing for false.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        has_join: bool,
    },
    /// A run was sealed: the number of its root tasks is final.
    #[serde(rename = "run.sealed")]
    RunSealed {
        /// The number of root tasks.
        total: u32,
    },
    /// The first task of a run started.
    #[serde(rename = "run.started")]
    RunStarted,
    /// A run was settled by its root tasks.
    #[serde(rename = "run.aggregated")]
    RunAggregated {
        /// The state.
        state: State,
    },
    /// The cancel of a run was requested. Its open tasks are cancelled, and then it settles.
    #[serde(rename = "run.cancel_requested")]
    RunCancelRequested {
        /// The cause, for programs.
        cause: CancelCause,
        /// The reason that the caller gave.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<ErrorText>,
    },
    /// One transaction cancelled open root tasks of a run.
    #[serde(rename = "run.swept")]
    RunSwept {
        /// The ranges of their indices. A leaf is CANCELLED, a parent is being cancelled.
        children: Vec<(u32, u32)>,
    },
    /// A run is RUNNING again, because a descendant was revived.
    #[serde(rename = "run.reopened")]
    RunReopened,
    /// A root task or a join was created.
    #[serde(rename = "task.created")]
    TaskCreated {
        /// The index among the root tasks, from 1; 0 on a join.
        index: u32,
        /// The parent of a join; missing on a root task, and on the join of a run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<TaskId>,
        /// How failures of its children count; missing for the default.
        #[serde(default, skip_serializing_if = "is_default")]
        policy: Policy,
        /// Whether a join runs after its children; missing for false.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        has_join: bool,
        /// The size of its fan-out; missing on a leaf.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fanout: Option<FanoutSize>,
    },
    /// One transaction created children of a task.
    #[serde(rename = "task.fanned_out")]
    TaskFannedOut {
        /// The index of the first created child.
        first: u32,
        /// The index of the last created child.
        last: u32,
        /// The id of the first created child. The ids of the others are consecutive.
        first_id: TaskId,
        /// The created children that are parents themselves: (index, number of their children).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parents: Vec<(u32, u32)>,
    },
    /// A task was sealed: the number of its children is final.
    #[serde(rename = "task.sealed")]
    TaskSealed {
        /// The number of children.
        total: u32,
    },
    /// An attempt of a leaf began, or the first child of a parent was created.
    #[serde(rename = "task.started")]
    TaskStarted,
    /// An attempt succeeded.
    #[serde(rename = "task.succeeded")]
    TaskSucceeded,
    /// An attempt failed.
    #[serde(rename = "task.failed")]
    TaskFailed {
        /// The reason, for programs.
        reason: FailureReason,
        /// The error, for people.
        error: ErrorText,
        /// The time of the retry; missing if the failure is permanent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due_at: Option<Timestamp>,
    },
    /// A task is PENDING again, because its retry came due.
    #[serde(rename = "task.retried")]
    TaskRetried,
    /// A task is PENDING again, because its worker released it.
    #[serde(rename = "task.released")]
    TaskReleased,
    /// A leaf was cancelled.
    #[serde(rename = "task.cancelled")]
    TaskCancelled {
        /// The reason that the caller gave.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<ErrorText>,
    },
    /// The cancel of a parent was requested. Its open descendants are cancelled, and then it settles.
    #[serde(rename = "task.cancel_requested")]
    TaskCancelRequested {
        /// The cause, for programs.
        cause: CancelCause,
        /// The reason that the caller gave.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<ErrorText>,
    },
    /// One transaction cancelled open children of a task.
    #[serde(rename = "task.swept")]
    TaskSwept {
        /// The ranges of their indices. A leaf is CANCELLED, a parent is being cancelled.
        children: Vec<(u32, u32)>,
    },
    /// A user revived a task.
    #[serde(rename = "task.revived")]
    TaskRevived,
    /// A parent is RUNNING again, because a descendant was revived.
    #[serde(rename = "task.reopened")]
    TaskReopened,
    /// A parent was settled by its children.
    #[serde(rename = "task.aggregated")]
    TaskAggregated {
        /// The state.
        state: State,
    },
    /// A run was imported from a database of the TypeScript version.
    #[serde(rename = "run.adopted")]
    RunAdopted {
        /// The state after the import.
        state: State,
        /// The counts of its root tasks.
        child_counts: ChildCounts,
        /// The number of its tasks in each state.
        state_counts: StateCounts,
    },
    /// A task was imported from a database of the TypeScript version.
    #[serde(rename = "task.adopted")]
    TaskAdopted {
        /// The parent; missing on a root task.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<TaskId>,
        /// The index among its siblings, from 1.
        index: u32,
        /// The state after the import.
        state: State,
        /// Whether a retry is scheduled; missing for false. The JSON key is `retry_due`.
        #[serde(rename = "retry_due", default, skip_serializing_if = "std::ops::Not::not")]
        retry_scheduled: bool,
        /// How many times it has been retried.
        retry_count: u32,
        /// How many times it was started, as far as the database shows.
        attempt: u32,
        /// The counts of its children; missing on a leaf.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        child_counts: Option<ChildCounts>,
    },
    /// An event of the TypeScript version, kept for reading.
    #[serde(rename = "original")]
    Legacy {
        /// The id in the TypeScript version.
        id: String,
        /// The name in the TypeScript version.
        name: String,
        /// The payload in the TypeScript version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload: Option<String>,
    },
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The size of the fan-out of a root task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FanoutSize {
    /// This number of children.
    Fixed(u32),
    /// Unknown until the task is sealed.
    Open,
}

impl EventBody {
    /// Returns the event of the task so many places behind the one that this event is about, where siblings have the same
    /// event: the index of a created task grows with the place.
    #[must_use]
    pub fn of_sibling(&self, place: u32) -> Self {
        let mut event = self.clone();
        if let Self::TaskCreated { index, .. } = &mut event {
            *index = index.saturating_add(place);
        }
        event
    }

    /// Returns the name of the event, for instance `task.started`.
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
    /// Creates the event of a failed attempt from the decision on its retry.
    pub fn failed(failure: &AttemptFailure, decision: RetryDecision) -> Self {
        let (reason, error) = (failure.reason(decision), failure.text());
        Self::TaskFailed { reason, error, due_at: decision.due_at() }
    }

    /// Returns whether the event settles a task: the state is terminal, and no retry is due.
    pub fn settles_task(&self) -> bool {
        match self {
            Self::TaskSucceeded | Self::TaskCancelled { .. } | Self::TaskAggregated { .. } => true,
            Self::TaskFailed { due_at, .. } => due_at.is_none(),
            _ => false,
        }
    }
}

/// Returns the event of a legal transition.
///
/// Returns `None` for a pair that is never legal, and for the failure of a leaf, whose event is [`EventBody::failed`].
pub fn transition_event(node_type: NodeType, signal: Signal) -> Option<EventBody> {
    use NodeType::{Leaf, Parent, Run};
    Some(match (node_type, signal) {
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
