//! Sets of leaves: the part of one block of siblings that is in the same condition.

use super::{ParentKey, Position, TaskKey};
use conductor_model::{Backoff, LeaseLosses, MaxRetries, NodeStatus, NodeType, State, TaskId, Timestamp};

/// A set of offsets in a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OffsetSet([u64; Self::WORDS]);

impl OffsetSet {
    /// The largest number of tasks in a block.
    pub const MAX: u16 = 1024;
    const WORDS: usize = Self::MAX as usize / 64;

    /// The set of one offset.
    pub fn one(offset: u16) -> Self {
        let mut set = Self::default();
        set.insert(offset);
        set
    }

    /// The first `count` offsets.
    pub fn first(count: u16) -> Self {
        let mut set = Self::default();
        for (word, bits) in set.0.iter_mut().enumerate() {
            let behind = usize::from(count).saturating_sub(word * 64);
            *bits = if behind >= 64 { u64::MAX } else { (1 << behind) - 1 };
        }
        set
    }

    /// The offsets from `first` to `last`, both included.
    pub fn range(first: u16, last: u16) -> Self {
        Self::first(last + 1).without(&Self::first(first))
    }

    /// The set of bytes from [`to_bytes`](OffsetSet::to_bytes); `None` if there are more than one for each eight offsets.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut set = Self::default();
        for (position, byte) in bytes.iter().enumerate() {
            *set.0.get_mut(position / 8)? |= u64::from(*byte) << (position % 8 * 8);
        }
        Some(set)
    }

    /// Returns one bit for each offset, the lowest of a byte first, up to the last byte that has one.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.truncate(self.last().map_or(0, |last| usize::from(last / 8) + 1));
        bytes
    }

    /// Returns the largest offset.
    pub fn last(&self) -> Option<u16> {
        let word = self.0.iter().rposition(|bits| *bits != 0)?;
        u16::try_from(word * 64 + 63).ok()?.checked_sub(u16::try_from(self.0[word].leading_zeros()).ok()?)
    }

    /// Adds an offset; returns whether it was not in the set.
    ///
    /// # Panics
    /// If the offset is [`OffsetSet::MAX`] or larger.
    pub fn insert(&mut self, offset: u16) -> bool {
        let (word, bit) = (usize::from(offset / 64), 1 << (offset % 64));
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    /// Removes an offset; returns whether it was in the set.
    pub fn remove(&mut self, offset: u16) -> bool {
        let was_in = self.contains(offset);
        if was_in {
            self.0[usize::from(offset / 64)] &= !(1 << (offset % 64));
        }
        was_in
    }

    /// Returns whether the offset is in the set.
    pub fn contains(&self, offset: u16) -> bool {
        self.0.get(usize::from(offset / 64)).is_some_and(|bits| bits & (1 << (offset % 64)) != 0)
    }

    /// Returns the offsets that both sets have.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    /// Returns the offsets that one of the sets has, or both.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// Returns the offsets that the other set does not have.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    /// Returns the smallest `count` offsets.
    #[must_use]
    pub fn smallest(&self, count: u32) -> Self {
        if self.len() <= count { *self } else { self.iter().take(count as usize).collect() }
    }

    /// Returns the number of offsets.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|bits| bits.count_ones()).sum()
    }

    /// Returns whether the set has no offset.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }

    /// Returns the offsets in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + use<> {
        let mut left = self.0;
        let mut word = 0;
        std::iter::from_fn(move || {
            while word < Self::WORDS {
                let bits = &mut left[word];
                if *bits != 0 {
                    let bit = bits.trailing_zeros();
                    *bits &= *bits - 1;
                    return u16::try_from(word * 64).ok()?.checked_add(u16::try_from(bit).ok()?);
                }
                word += 1;
            }
            None
        })
    }
}

impl FromIterator<u16> for OffsetSet {
    fn from_iter<I: IntoIterator<Item = u16>>(offsets: I) -> Self {
        let mut set = Self::default();
        for offset in offsets {
            set.insert(offset);
        }
        set
    }
}

/// The keys of tasks of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySet {
    /// The key at offset 0.
    pub base: TaskKey,
    /// The offsets of the tasks.
    pub offsets: OffsetSet,
}

impl KeySet {
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
/// the task at offset `n` has the key `base + n`, the index `base_index + n` and the id `base_id + n`.
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
