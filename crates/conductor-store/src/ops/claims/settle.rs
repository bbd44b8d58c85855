//! Settles claimed tasks.

use super::fences::Fences;
use crate::backend::OffsetSet;
use crate::ops::tx::{LeafChange, Transaction, change_leaves, decide_ended_joins, fail_leaf};
use crate::{AttemptResult, FenceOutcome, Settle, StoreError};
use conductor_model::{Json, Signal};

/// The leaves of one group that succeeded.
#[derive(Default)]
struct Succeeded<'r> {
    offsets: OffsetSet,
    outputs: Vec<(u16, &'r Json)>,
}

/// Settles the results of a request. Returns what [`SettleOutcome`](crate::SettleOutcome) says about them.
pub(crate) fn settle<'r>(
    t: &mut Transaction<'_, 'r>,
    request: &'r Settle,
) -> Result<(Vec<FenceOutcome>, Vec<OffsetSet>), StoreError> {
    let fences = request.results.iter().map(|(fence, _)| *fence);
    let mut held = Fences::read_with(t.store()?, fences, &request.succeeded)?;
    let mut outcomes = Vec::with_capacity(request.results.len());
    let mut succeeded: Vec<Succeeded<'r>> = Vec::new();
    succeeded.resize_with(held.len(), Succeeded::default);
    for (fence, result) in &request.results {
        let Some((nth, offset)) = held.take(*fence) else {
            outcomes.push(FenceOutcome::Stale);
            continue;
        };
        outcomes.push(FenceOutcome::Applied);
        match result {
            AttemptResult::Succeeded { output } => {
                succeeded[nth].offsets.insert(offset);
                succeeded[nth].outputs.extend(output.iter().map(|output| (offset, output)));
            }
            AttemptResult::Failed(failure) => {
                let leaf = held.group(nth).leaf(offset);
                let failed = fail_leaf(t, &leaf, fence.task, failure, request.jitter);
                failed.map_err(|error| error.in_step(leaf.key(offset)))?;
            }
        }
    }
    let mut applied = Vec::with_capacity(request.succeeded.len());
    for set in &request.succeeded {
        let mut of_set = OffsetSet::default();
        for (nth, offsets) in held.take_set(set) {
            succeeded[nth].offsets = succeeded[nth].offsets.or(&offsets);
            of_set = of_set.or(&offsets);
        }
        applied.push(of_set);
    }
    // What a failed join decides comes before what follows from the successes.
    decide_ended_joins(t)?;
    for (nth, Succeeded { offsets, mut outputs }) in succeeded.into_iter().enumerate() {
        if offsets.is_empty() {
            continue;
        }
        let group = held.group(nth).only(offsets);
        outputs.sort_unstable_by_key(|(offset, _)| *offset);
        let settled = change_leaves(t, &group, LeafChange { outputs, ..LeafChange::of(Signal::Succeed) });
        settled.map_err(|error| error.in_step(group.block.base))?;
    }
    // A following claim sees what the joins have decided.
    decide_ended_joins(t)?;
    Ok((outcomes, applied))
}
