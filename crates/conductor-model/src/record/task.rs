//! A task as a store returns it.

use crate::id::{RunId, TaskId};
use crate::json::Json;
use crate::name::{Kind, TaskName};
use crate::state::{Backoff, CancelCause, ChildCounts, MaxRetries, NodeStatus, NodeType, Policy, State};
use crate::text::ErrorText;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A task as a store returns it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The id.
    pub id: TaskId,
    /// The run.
    pub run: RunId,
    /// The parent; `None` on a root task, and on the join of a run.
    pub parent: Option<TaskId>,
    /// The index among its siblings, from 1; 0 on a join.
    pub index: u32,
    /// The name. The name of a child is derived from its parent's name and its index.
    pub name: TaskName,
    /// The kind, which selects the handler.
    pub kind: Kind,
    /// The state.
    pub state: State,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
    /// The time of the retry of a FAILED task, or the earliest start of a PENDING one.
    pub due_at: Option<Timestamp>,
    /// The input. Without input, the JSON form lacks this key; `null` is a value.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::json::present")]
    pub input: Option<Json>,
    /// The output. Without output, the JSON form lacks this key; `null` is a value.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::json::present")]
    pub output: Option<Json>,
    /// How many times it has been retried.
    pub retry_count: u32,
    /// How many times it may be retried.
    pub max_retries: MaxRetries,
    /// The delay before a retry.
    pub backoff: Backoff,
    /// The time limit of an attempt, in milliseconds; `None` for no limit.
    pub timeout_ms: Option<u32>,
    /// The priority. Within a run, higher priorities are claimed first.
    pub priority: i16,
    /// How many times it was started. The number identifies an attempt, and so serves as the fence.
    pub attempt: u32,
    /// When the lease of its claim expires; `None` without a claim.
    pub lease_until: Option<Timestamp>,
    /// The error of its last failure.
    pub last_error: Option<ErrorText>,
    /// The counts of its children; `None` on a leaf.
    pub child_counts: Option<ChildCounts>,
    /// How failures of its children count.
    #[serde(default)]
    pub policy: Policy,
    /// The join that runs after its children.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
    /// Why it is being cancelled, or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_cause: Option<CancelCause>,
}

/// The join of a parent or a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Join {
    /// The id of its task, which is created when the join starts.
    pub id: TaskId,
    /// The kind, which selects the handler.
    pub kind: Kind,
}

impl Task {
    /// Returns the properties on which transitions depend.
    pub fn status(&self) -> NodeStatus {
        NodeStatus {
            node_type: if self.child_counts.is_some() { NodeType::Parent } else { NodeType::Leaf },
            state: self.state,
            retry_scheduled: self.state == State::Failed && self.due_at.is_some(),
        }
    }
}
