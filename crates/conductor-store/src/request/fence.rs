//! Fences: what identifies a claim.

use crate::OffsetSet;
use conductor_model::TaskId;

/// The fence of a claim: it identifies one attempt of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The task.
    pub task: TaskId,
    /// The internal number of the task in the store; a store never reuses it.
    pub key: u64,
    /// The attempt.
    pub attempt: u32,
}

/// The fences of tasks of one block that are at the same attempt.
///
/// The task at offset `n` has the id `base_id + n` and the key `base_key + n`. Both bases are those that the claim returned:
/// a store finds the tasks by their block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FenceSet {
    /// The id at offset 0. It may wrap around, if no task has this offset.
    pub base_id: u128,
    /// The key at offset 0.
    pub base_key: u64,
    /// The attempt.
    pub attempt: u32,
    /// The tasks.
    pub offsets: OffsetSet,
}

impl FenceSet {
    /// Returns the fence of the task at this offset.
    pub fn fence(&self, offset: u16) -> Fence {
        Fence {
            task: TaskId::from_u128(self.base_id.wrapping_add(offset.into())),
            key: self.base_key.saturating_add(offset.into()),
            attempt: self.attempt,
        }
    }

    /// Returns the fences, in the order of the offsets.
    pub fn iter(&self) -> impl Iterator<Item = Fence> + use<> {
        let set = *self;
        set.offsets.iter().map(move |offset| set.fence(offset))
    }
}

/// The outcome of a request for one fence.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceOutcome {
    /// The claim was valid, and the request was written.
    Applied,
    /// The claim is no longer valid. Nothing changed for this fence.
    Stale,
}
