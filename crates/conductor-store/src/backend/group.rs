//! Sets of leaves: the part of one block of siblings that is in the same condition.

use super::{ParentKey, Position, TaskKey};
use crate::OffsetSet;
use conductor_model::{Backoff, LeaseLosses, MaxRetries, NodeStatus, NodeType, State, TaskId, Timestamp};

/// Keys of tasks that differ by less than [`OffsetSet::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySet {
    /// The key at offset 0. No task needs to have it.
    pub base: TaskKey,
    /// The offsets of the tasks.
    pub offsets: OffsetSet,
}

impl KeySet {
    /// Puts keys into sets: keys that follow each other closely into one.
    pub fn of(keys: impl IntoIterator<Item = TaskKey>) -> Vec<Self> {
        let mut sets: Vec<Self> = Vec::new();
        for key in keys {
            let offset = key.0 % u64::from(OffsetSet::MAX);
            let (base, offset) = (TaskKey(key.0 - offset), u16::try_from(offset).unwrap_or_default());
            match sets.last_mut().filter(|last| last.base == base) {
                Some(last) => drop(last.offsets.insert(offset)),
                None => sets.push(Self { base, offsets: OffsetSet::one(offset) }),
            }
        }
        sets
    }

    /// Returns the keys in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = TaskKey> + use<> {
        let base = self.base;
        self.offsets.iter().map(move |offset| base.plus(offset))
    }
}

/// Returns whether a task with this id can follow the task before it in a block.
///
/// The ids of a block have all but the last ten bits in common, so that a store can keep the rest once for all of them.
pub(crate) fn continues_block(id: TaskId) -> bool {
    !id.as_u128().is_multiple_of(u128::from(OffsetSet::MAX))
}

/// What the leaves of one block have in common.
///
/// A store is free in how it forms blocks, as long as the keys, the indices and the ids of a block follow each other:
/// the task at offset `n` has the key `base + n`, the index `base_index + n` and the id `base_id + n`. A task belongs to the
/// same block for ever, and `base` never changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    /// The key at offset 0.
    pub base: TaskKey,
    /// The id at offset 0. It may wrap around, if no task has this offset.
    pub base_id: u128,
    /// The index at offset 0. It may wrap around, if no task has this offset.
    pub base_index: u32,
    /// Where the tasks stand.
    pub position: Position,
    /// How often an attempt may be repeated.
    pub max_retries: MaxRetries,
    /// How long a retry waits.
    pub backoff: Backoff,
    /// How long an attempt may take.
    pub timeout_ms: Option<u32>,
}

/// The condition that the leaves of a group share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafStatus {
    /// The state.
    pub state: State,
    /// FAILED: when the retry is due. PENDING: before when it must not start.
    pub due_at: Option<Timestamp>,
    /// The number of the last attempt.
    pub attempt: u32,
    /// How often it was retried.
    pub retry_count: u32,
    /// How many leases were lost over it in a row.
    pub lease_losses: Option<LeaseLosses>,
    /// Whether an engine claimed it.
    pub is_claimed: bool,
}

impl LeafStatus {
    /// Returns what a transition depends on.
    pub fn node_status(&self) -> NodeStatus {
        let retry_scheduled = self.state == State::Failed && self.due_at.is_some();
        NodeStatus { node_type: NodeType::Leaf, state: self.state, retry_scheduled }
    }

    /// Returns whether it is in a terminal state without a retry.
    pub fn is_settled(&self) -> bool {
        self.node_status().is_settled()
    }
}

/// Leaves of one block in the same condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TaskGroup {
    /// What all leaves of the block share.
    pub block: Block,
    /// Which leaves they are.
    pub offsets: OffsetSet,
    /// Their condition.
    pub status: LeafStatus,
}

impl TaskGroup {
    /// Returns the number of leaves.
    pub fn len(&self) -> u32 {
        self.offsets.len()
    }

    /// Returns whether it has no leaf.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Returns the keys of the leaves.
    pub fn keys(&self) -> KeySet {
        KeySet { base: self.block.base, offsets: self.offsets }
    }

    /// Returns the parent of the leaves.
    pub fn parent(&self) -> ParentKey {
        self.block.position.parent
    }

    /// Returns the key of the leaf at this offset.
    pub fn key(&self, offset: u16) -> TaskKey {
        self.block.base.plus(offset)
    }

    /// Returns the id of the leaf at this offset.
    pub fn id(&self, offset: u16) -> TaskId {
        TaskId::from_u128(self.block.base_id.wrapping_add(u128::from(offset)))
    }

    /// Returns the index of the leaf at this offset.
    pub fn index(&self, offset: u16) -> u32 {
        self.block.base_index.wrapping_add(u32::from(offset))
    }

    /// Returns the first leaf: its offset.
    pub fn first(&self) -> Option<u16> {
        self.offsets.iter().next()
    }

    /// Returns the same group with these leaves only.
    #[must_use]
    pub fn only(&self, offsets: OffsetSet) -> Self {
        Self { offsets, ..*self }
    }

    /// Returns the leaf at this offset, as a group of its own.
    #[must_use]
    pub fn leaf(&self, offset: u16) -> Self {
        self.only(OffsetSet::one(offset))
    }
}
