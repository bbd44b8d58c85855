//! Settles claimed tasks.

use super::fences::Fences;
use crate::backend::OffsetSet;
use crate::ops::tx::{LeafChange, Transaction, change_leaves, decide_ended_joins, fail_leaf};
use crate::{AttemptResult, Fence, FenceOutcome, Settle, StoreError};
use conductor_model::{Json, Signal};

/// The leaves of one group that succeeded.
#[derive(Default)]
struct Succeeded<'r> {
    offsets: OffsetSet,
    outputs: Vec<(u16, &'r Json)>,
}

pub(crate) fn settle<'r>(
    t: &mut Transaction<'_, 'r>,
    request: &'r Settle,
) -> Result<Vec<FenceOutcome>, StoreError> {
    let fences: Vec<Fence> = request.results.iter().map(|(fence, _)| *fence).collect();
    let mut held = Fences::read(t.store()?, &fences)?;
    let mut outcomes = Vec::with_capacity(fences.len());
    let mut succeeded: Vec<Succeeded<'r>> = Vec::new();
    for (fence, result) in &request.results {
        let Some((nth, offset)) = held.take(*fence) else {
            outcomes.push(FenceOutcome::Stale);
            continue;
        };
        outcomes.push(FenceOutcome::Applied);
        match result {
            AttemptResult::Succeeded { output } => {
                if succeeded.len() <= nth {
                    succeeded.resize_with(nth + 1, Succeeded::default);
                }
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
    Ok(outcomes)
}
