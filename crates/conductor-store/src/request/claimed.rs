//! Claimed leaves: in groups, as a store claims them, and one by one.

use crate::{Fence, FenceSet};
use conductor_model::{Json, RunId, TaskId};

/// Claimed leaves of one block that are at the same attempt. The engine may run them until the lease ends.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedGroup {
    /// Identifies the claims, to renew, release and settle them.
    pub fences: FenceSet,
    /// The run.
    pub run: RunId,
    /// The parent; `None` for root tasks.
    pub parent: Option<TaskId>,
    /// The index at offset 0. It may wrap around, if no task has this offset.
    pub base_index: u32,
    /// The index of the kind in [`Claim::quotas`](crate::Claim::quotas).
    pub quota_index: usize,
    /// The inputs.
    pub inputs: Inputs,
    /// The number of retries so far.
    pub retry_count: u32,
    /// The timeout of these attempts in milliseconds; `None` without a timeout.
    pub timeout_ms: Option<u32>,
    /// Whether the tasks are isolated: an engine must not run two isolated tasks at the same time.
    pub isolated: bool,
}

/// The inputs of the tasks of a group.
#[derive(Clone, Debug, PartialEq)]
pub enum Inputs {
    /// All tasks have the input of their parent without the key `fanout`, or none of them has an input.
    Shared(Option<Json>),
    /// One for each task, in the order of the offsets.
    Each(Vec<Option<Json>>),
}

impl ClaimedGroup {
    /// Returns the tasks one by one, in the order of the offsets.
    pub fn tasks(&self) -> impl Iterator<Item = ClaimedTask> + use<'_> {
        self.fences.offsets.iter().enumerate().map(|(nth, offset)| ClaimedTask {
            fence: self.fences.fence(offset),
            run: self.run,
            parent: self.parent,
            index: self.base_index.wrapping_add(offset.into()),
            quota_index: self.quota_index,
            input: match &self.inputs {
                Inputs::Shared(input) => input.clone(),
                Inputs::Each(inputs) => inputs.get(nth).cloned().flatten(),
            },
            retry_count: self.retry_count,
            timeout_ms: self.timeout_ms,
            isolated: self.isolated,
        })
    }
}

/// A claimed leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedTask {
    /// Identifies the claim, to renew, release and settle it.
    pub fence: Fence,
    /// Its run.
    pub run: RunId,
    /// Its parent; `None` for a root task.
    pub parent: Option<TaskId>,
    /// Its index among its siblings, from 1; 0 for a join.
    pub index: u32,
    /// The index of its kind in [`Claim::quotas`](crate::Claim::quotas).
    pub quota_index: usize,
    /// Its input: its own, or the input of its parent without the key `fanout`.
    pub input: Option<Json>,
    /// The number of retries so far.
    pub retry_count: u32,
    /// The timeout of this attempt in milliseconds; `None` without a timeout.
    pub timeout_ms: Option<u32>,
    /// Whether the task is isolated: an engine must not run two isolated tasks at the same time.
    pub isolated: bool,
}
