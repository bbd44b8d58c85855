//! The leaves that fences name, as far as the fences hold.

use crate::backend::{OffsetSet, ReadTx, TaskGroup, TaskKey};
use crate::{Fence, StoreError};
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
        let keys: Vec<TaskKey> = fences.iter().map(|fence| TaskKey(fence.key)).collect();
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
        let holds = group.id(offset) == fence.task
            && fence_is_valid(
                group.status.state,
                group.status.is_claimed,
                group.status.attempt,
                fence.attempt,
            );
        (holds && self.left[nth].remove(offset)).then_some((nth, offset))
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
