//! The leaves that fences name, as far as the fences hold.

use crate::backend::{KeySet, OffsetSet, ReadTx, TaskGroup, TaskKey};
use crate::{Fence, FenceSet, StoreError};
use conductor_model::fence_is_valid;

/// The leaves of a request, each to be taken once.
pub(crate) struct Fences {
    /// By the first key of their blocks.
    groups: Vec<TaskGroup>,
    /// The leaves of each group that are not taken.
    left: Vec<OffsetSet>,
}

impl Fences {
    pub(crate) fn read(tx: &mut (impl ReadTx + ?Sized), fences: &[Fence]) -> Result<Self, StoreError> {
        Self::read_with(tx, fences.iter().copied(), &[])
    }

    /// Reads the leaves of fences and of sets of fences.
    pub(super) fn read_with(
        tx: &mut (impl ReadTx + ?Sized),
        fences: impl Iterator<Item = Fence>,
        sets: &[FenceSet],
    ) -> Result<Self, StoreError> {
        let mut keys = KeySet::of(fences.map(|fence| TaskKey(fence.key)));
        keys.extend(sets.iter().map(|set| KeySet { base: TaskKey(set.base_key), offsets: set.offsets }));
        let mut groups = tx.leaves(&keys)?;
        groups.sort_by_key(|group| group.block.base);
        let left = groups.iter().map(|group| group.offsets).collect();
        Ok(Self { groups, left })
    }

    /// The group of the leaf with this key, if it is not taken, and its offset there.
    fn find(&self, key: TaskKey) -> Option<(usize, u16)> {
        let end = self.groups.partition_point(|group| group.block.base <= key);
        let base = self.groups[..end].last()?.block.base;
        let offset = u16::try_from(key.0 - base.0).ok().filter(|offset| *offset < OffsetSet::MAX)?;
        let of_block = (0..end).rev().take_while(|nth| self.groups[*nth].block.base == base);
        of_block.into_iter().find(|nth| self.left[*nth].contains(offset)).map(|nth| (nth, offset))
    }

    /// Takes the leaf that a fence names, if the fence holds: its group and its offset. A second time it does not hold.
    pub(crate) fn take(&mut self, fence: Fence) -> Option<(usize, u16)> {
        let (nth, offset) = self.find(TaskKey(fence.key))?;
        let group = &self.groups[nth];
        // The id guards against a key from another database.
        let holds = group.id(offset) == fence.task && is_at_attempt(group, fence.attempt);
        (holds && self.left[nth].remove(offset)).then_some((nth, offset))
    }

    /// Takes the leaves of a set whose fences hold: their groups, and their offsets there.
    pub(super) fn take_set(&mut self, set: &FenceSet) -> Vec<(usize, OffsetSet)> {
        let base = TaskKey(set.base_key);
        let mut taken = Vec::new();
        for nth in self.groups.partition_point(|group| group.block.base < base)..self.groups.len() {
            let group = &self.groups[nth];
            if group.block.base != base {
                break;
            }
            let offsets = self.left[nth].and(&set.offsets);
            if group.block.base_id == set.base_id && is_at_attempt(group, set.attempt) && !offsets.is_empty()
            {
                self.left[nth] = self.left[nth].without(&offsets);
                taken.push((nth, offsets));
            }
        }
        taken
    }

    /// Returns the number of groups.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn group(&self, nth: usize) -> &TaskGroup {
        &self.groups[nth]
    }

    /// Takes the leaves of all fences; returns for each whether it held, and the leaves of those that did.
    pub(super) fn take_all(mut self, fences: &[Fence]) -> (Vec<bool>, Vec<TaskGroup>) {
        let mut taken = vec![OffsetSet::default(); self.groups.len()];
        let mut holds = Vec::with_capacity(fences.len());
        for fence in fences {
            let leaf = self.take(*fence);
            holds.push(leaf.is_some());
            if let Some((nth, offset)) = leaf {
                taken[nth].insert(offset);
            }
        }
        let groups = self.groups.iter().zip(taken).map(|(group, offsets)| group.only(offsets));
        (holds, groups.filter(|group| !group.is_empty()).collect())
    }
}

/// Whether the leaves of a group are claimed, and at this attempt.
fn is_at_attempt(group: &TaskGroup, attempt: u32) -> bool {
    let status = &group.status;
    fence_is_valid(status.state, status.is_claimed, status.attempt, attempt)
}
