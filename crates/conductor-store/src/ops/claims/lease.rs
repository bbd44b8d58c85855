//! Renews leases, releases claims, and stores the progress of attempts.

use super::fences::Fences;
use crate::backend::ProgressWrite;
use crate::ops::tx::{LeafChange, Transaction, change_leaves};
use crate::{Fence, FenceOutcome, RecordProgress, Release, Renew, StoreError};
use conductor_model::{MAX_LEASE_MS, Signal};

pub(crate) fn renew(t: &mut Transaction<'_, '_>, request: &Renew) -> Result<Vec<FenceOutcome>, StoreError> {
    let until = request.now.plus_millis(request.lease_ms.min(MAX_LEASE_MS));
    let (holds, groups) = Fences::read(t.store()?, &request.fences)?.take_all(&request.fences);
    t.store()?.refresh(&groups, Some(until))?;
    Ok(outcomes(&holds))
}

pub(crate) fn release(
    t: &mut Transaction<'_, '_>,
    request: &Release,
) -> Result<Vec<FenceOutcome>, StoreError> {
    let (holds, groups) = Fences::read(t.store()?, &request.fences)?.take_all(&request.fences);
    for group in &groups {
        let released = change_leaves(t, group, LeafChange::of(Signal::Release));
        released.map_err(|error| error.in_step(group.block.base))?;
    }
    Ok(outcomes(&holds))
}

pub(crate) fn record_progress(
    t: &mut Transaction<'_, '_>,
    request: &RecordProgress,
) -> Result<Vec<FenceOutcome>, StoreError> {
    let fences: Vec<Fence> = request.items.iter().map(|(fence, _)| *fence).collect();
    let mut held = Fences::read(t.store()?, &fences)?;
    let (mut holds, mut writes) = (Vec::with_capacity(fences.len()), Vec::new());
    for (fence, progress) in &request.items {
        let leaf = held.take(*fence);
        holds.push(leaf.is_some());
        if let Some((nth, offset)) = leaf {
            let group = held.group(nth);
            let (run, task) = (group.parent().run, group.key(offset));
            writes.push(ProgressWrite { run, task, attempt: fence.attempt, progress });
        }
    }
    t.store()?.write_progress(&writes)?;
    Ok(outcomes(&holds))
}

fn outcomes(holds: &[bool]) -> Vec<FenceOutcome> {
    let outcome = |holds: &bool| if *holds { FenceOutcome::Applied } else { FenceOutcome::Stale };
    holds.iter().map(outcome).collect()
}
