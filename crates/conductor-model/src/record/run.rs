//! A run as a store returns it.

use super::task::Join;
use crate::id::RunId;
use crate::json::Json;
use crate::name::IdempotencyKey;
use crate::state::{CancelCause, ChildCounts, Policy, RunState, StateCounts};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A run as a store returns it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The id.
    pub id: RunId,
    /// The state, which follows from the root tasks.
    pub state: RunState,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
    /// The metadata of the caller. Without metadata, the JSON form lacks this key; `null` is a value.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::json::present")]
    pub meta: Option<Json>,
    /// The key under which it was submitted at most once.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The counts of its root tasks.
    pub child_counts: ChildCounts,
    /// How failures of its root tasks count.
    #[serde(default)]
    pub policy: Policy,
    /// The join that runs after its root tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
    /// Why it is being cancelled, or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_cause: Option<CancelCause>,
    /// When its open tasks are cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The number of its tasks in each state.
    pub state_counts: StateCounts,
}
