//! Runs and tasks as they are read.

use crate::id::{RunId, TaskId};
use crate::json::Json;
use crate::name::{IdempotencyKey, Kind, TaskName};
use crate::numbers::{ChildCounts, StateCounts};
use crate::policy::{CancelCause, Policy};
use crate::retry::{Backoff, MaxRetries};
use crate::time::Timestamp;
use crate::transition::{NodeStatus, NodeType, RunState, State};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest error text that is kept, in bytes; a longer one is cut.
pub const MAX_ERROR_BYTES: usize = 64 * 1024;

/// Why a task failed, in the words of whoever failed.
///
/// Never refused: an overlong text is cut at [`MAX_ERROR_BYTES`], a NUL becomes U+FFFD (a text with a NUL
/// would end there for many readers of the database).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ErrorText(String);

impl ErrorText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ErrorText {
    fn from(text: String) -> Self {
        Self(truncate_text(text, MAX_ERROR_BYTES))
    }
}

impl From<&str> for ErrorText {
    fn from(text: &str) -> Self {
        String::from(text).into()
    }
}

impl From<ErrorText> for String {
    fn from(error: ErrorText) -> Self {
        error.0
    }
}

impl fmt::Display for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// As much of a text as is kept, and without a NUL.
pub(crate) fn truncate_text(mut text: String, most_bytes: usize) -> String {
    if text.contains('\0') {
        text = text.replace('\0', "\u{FFFD}");
    }
    if text.len() > most_bytes {
        text.truncate(text.floor_char_boundary(most_bytes - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// A run, as it is read from a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Its state, which follows from its root tasks.
    pub state: RunState,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
    /// What the submitter wanted to remember with it; absent, and not `null`, in the JSON of a record that has none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::json::present")]
    pub meta: Option<Json>,
    /// The key under which it was submitted once.
    pub idempotency_key: Option<IdempotencyKey>,
    /// What it knows of its root tasks.
    pub child_counts: ChildCounts,
    /// What their failures mean for it.
    #[serde(default)]
    pub policy: Policy,
    /// What runs after them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
    /// Why it was marked, if it was: it is being cancelled, or was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_cause: Option<CancelCause>,
    /// When what is open of it is cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// How many of all its tasks are in each state.
    pub state_counts: StateCounts,
}

/// A task, as it is read from a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// The run that it belongs to.
    pub run: RunId,
    /// Its parent; `None` for a root task.
    pub parent: Option<TaskId>,
    /// Its ordinal among its siblings, from 1; 0 on a join.
    pub index: u32,
    /// Its name; a child's is derived from its parent's and its index.
    pub name: TaskName,
    /// Which handler runs it.
    pub kind: Kind,
    /// Its state.
    pub state: State,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
    /// When it must be looked at again: a retry of a FAILED task, the start of a PENDING one.
    pub due_at: Option<Timestamp>,
    /// What it works on; absent, and not `null`, in the JSON of a record that has none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::json::present")]
    pub input: Option<Json>,
    /// What came out of it; absent, and not `null`, in the JSON of a record that has none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::json::present")]
    pub output: Option<Json>,
    /// How often it was retried.
    pub retry_count: u32,
    /// How often it may be.
    pub max_retries: MaxRetries,
    /// How long it waits for a retry.
    pub backoff: Backoff,
    /// How long an attempt may take, in milliseconds; `None` without a limit.
    pub timeout_ms: Option<u32>,
    /// Higher is claimed first, within a run.
    pub priority: i16,
    /// How often it was started; names one attempt, and so is the fence.
    pub attempt: u32,
    /// Until when a claim holds it; `None` when no claim does.
    pub lease_until: Option<Timestamp>,
    /// Why it last failed.
    pub last_error: Option<ErrorText>,
    /// What it knows of its children; `None` on a leaf.
    pub child_counts: Option<ChildCounts>,
    /// What their failures mean for it.
    #[serde(default)]
    pub policy: Policy,
    /// What runs after them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
    /// Why it was marked, if it was: it is being cancelled, or was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_cause: Option<CancelCause>,
}

/// What runs after the children of a parent, or after the root tasks of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Join {
    /// The id that its task has, or will have.
    pub id: TaskId,
    /// Which handler runs it.
    pub kind: Kind,
}

impl Task {
    /// As much of it as a transition depends on.
    pub fn status(&self) -> NodeStatus {
        NodeStatus {
            node_type: if self.child_counts.is_some() { NodeType::Parent } else { NodeType::Leaf },
            state: self.state,
            retry_due: self.state == State::Failed && self.due_at.is_some(),
        }
    }
}
