//! The leaves that fences name, as far as the fences hold.

use crate::backend::{OffsetSet, ReadTx, TaskGroup, TaskKey};
use crate::{Fence, StoreError};
use conductor_model::fence_is_valid;
use std::collections::HashMap;

/// The leaves of a request, each to be taken once.
pub(crate) struct Fences {
    groups: Vec<TaskGroup>,
    /// The group and the offset of each leaf that is not taken.
    leaves: HashMap<u64, (usize, u16)>,
}

impl Fences {
    pub(crate) fn read(tx: &mut (impl ReadTx + ?Sized), fences: &[Fence]) -> Result<Self, StoreError> {
        let keys: Vec<TaskKey> = fences.iter().map(|fence| TaskKey(fence.key)).collect();
        let groups = tx.leaves(&keys)?;
        let mut leaves = HashMap::with_capacity(keys.len());
        for (nth, group) in groups.iter().enumerate() {
            leaves.extend(group.offsets.iter().map(|offset| (group.key(offset).0, (nth, offset))));
        }
        Ok(Self { groups, leaves })
    }

    /// Takes the leaf that a fence names, if the fence holds: its group and its offset. A second time it does not hold.
    pub(crate) fn take(&mut self, fence: Fence) -> Option<(usize, u16)> {
        let (nth, offset) = *self.leaves.get(&fence.key)?;
        let group = &self.groups[nth];
        // The id guards against a key from another database.
        let holds = group.id(offset) == fence.task
            && fence_is_valid(
                group.status.state,
                group.status.is_claimed,
                group.status.attempt,
                fence.attempt,
            );
        if holds { self.leaves.remove(&fence.key) } else { None }
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
