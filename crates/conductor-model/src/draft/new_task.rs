//! A valid task.

use super::join::NewJoin;
use crate::id::TaskId;
use crate::json::Json;
use crate::name::{Kind, TaskName};
use crate::state::{Backoff, ChildCounts, MaxRetries, Policy};
use crate::time::Timestamp;

/// A task that may be submitted: all its values are valid.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTask {
    pub(super) id: Option<TaskId>,
    pub(super) name: TaskName,
    pub(super) kind: Kind,
    pub(super) input: Option<Json>,
    pub(super) max_retries: MaxRetries,
    pub(super) backoff: Backoff,
    pub(super) timeout_ms: Option<u32>,
    pub(super) priority: i16,
    pub(super) due_at: Option<Timestamp>,
    pub(super) child_counts: Option<ChildCounts>,
    pub(super) policy: Policy,
    pub(super) join: Option<NewJoin>,
}

impl NewTask {
    /// Returns the id that the caller chose.
    pub fn id(&self) -> Option<TaskId> {
        self.id
    }

    /// Returns the name.
    pub fn name(&self) -> &TaskName {
        &self.name
    }

    /// Returns the kind, which selects the handler.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Returns the input.
    pub fn input(&self) -> Option<&Json> {
        self.input.as_ref()
    }

    /// Returns the number of retries.
    pub fn max_retries(&self) -> MaxRetries {
        self.max_retries
    }

    /// Returns the delay before a retry.
    pub fn backoff(&self) -> Backoff {
        self.backoff
    }

    /// Returns the time limit of an attempt, in milliseconds; `None` for no limit.
    pub fn timeout_ms(&self) -> Option<u32> {
        self.timeout_ms
    }

    /// Returns the priority. Within a run, higher priorities are claimed first.
    pub fn priority(&self) -> i16 {
        self.priority
    }

    /// Returns the earliest start.
    pub fn due_at(&self) -> Option<Timestamp> {
        self.due_at
    }

    /// Returns the initial counts of its children; `None` on a leaf.
    pub fn child_counts(&self) -> Option<ChildCounts> {
        self.child_counts
    }

    /// Returns how failures of its children count.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Returns the join that runs after its children.
    pub fn join(&self) -> Option<&NewJoin> {
        self.join.as_ref()
    }

    /// Returns the largest number of ids that its submission needs: its own, and that of its join.
    pub fn ids_needed(&self) -> u32 {
        1 + u32::from(self.join.is_some())
    }
}
