//! A valid run.

use super::join::NewJoin;
use super::new_task::NewTask;
use super::payload_hash::PayloadHash;
use crate::id::RunId;
use crate::json::Json;
use crate::name::IdempotencyKey;
use crate::state::Policy;

/// A run that may be submitted: all its values are valid.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRun {
    pub(super) id: Option<RunId>,
    pub(super) meta: Option<Json>,
    pub(super) idempotency_key: Option<IdempotencyKey>,
    pub(super) open: bool,
    pub(super) policy: Policy,
    pub(super) join: Option<NewJoin>,
    pub(super) deadline_ms: Option<u64>,
    pub(super) tasks: Vec<NewTask>,
    pub(super) payload: Option<PayloadHash>,
}

impl NewRun {
    /// Returns the id that the caller chose.
    pub fn id(&self) -> Option<RunId> {
        self.id
    }

    /// Returns the metadata of the caller.
    pub fn meta(&self) -> Option<&Json> {
        self.meta.as_ref()
    }

    /// Returns the key under which it is submitted at most once.
    pub fn idempotency_key(&self) -> Option<&IdempotencyKey> {
        self.idempotency_key.as_ref()
    }

    /// Returns whether more root tasks may be appended.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Returns how failures of its root tasks count.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Returns the join that runs after its root tasks.
    pub fn join(&self) -> Option<&NewJoin> {
        self.join.as_ref()
    }

    /// Returns the time limit of the run after its submission, in milliseconds; `None` for no limit.
    pub fn deadline_ms(&self) -> Option<u64> {
        self.deadline_ms
    }

    /// Returns the root tasks.
    pub fn tasks(&self) -> &[NewTask] {
        &self.tasks
    }

    /// Returns the hash of the draft; `None` without an idempotency key, because only that needs it.
    pub fn payload(&self) -> Option<PayloadHash> {
        self.payload
    }

    /// Returns the largest number of ids that its submission needs.
    pub fn ids_needed(&self) -> u32 {
        let tasks = self.tasks.iter().map(NewTask::ids_needed).sum::<u32>();
        1 + u32::from(self.join.is_some()) + tasks
    }
}
