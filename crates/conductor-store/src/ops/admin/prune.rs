//! Removes runs that settled, and returns their space to the system.

use crate::backend::{AdminWrite, Backend, PruneBudget, Pruned, ReadTx as _, WriteTx};
use crate::{Prune, PruneOutcome, StoreError};

/// The number of bytes of wide JSON that one transaction removes, about: a store reads them to remove them.
const BYTES_PER_STEP: i64 = 4 << 20;

/// Executes one transaction of a prune.
pub(crate) fn prune(backend: &impl Backend, request: &Prune) -> Result<PruneOutcome, StoreError> {
    let before = request.settled_before;
    let work = backend.peek(|tx| tx.prune_work(before))?;
    if work.run.is_some() {
        return backend.write(before, |tx| remove_runs(tx, request));
    }
    if !work.has_free_space {
        return Ok(PruneOutcome::default());
    }
    let mut budget = PruneBudget { rows: 0, bytes: 0 };
    let Pruned { bytes, is_complete, .. } = backend.write(before, |tx| tx.prune(None, &mut budget))?;
    Ok(PruneOutcome { bytes, more: bytes > 0 && !is_complete, ..PruneOutcome::default() })
}

fn remove_runs(tx: &mut dyn WriteTx, request: &Prune) -> Result<PruneOutcome, StoreError> {
    let mut outcome = PruneOutcome { more: true, ..PruneOutcome::default() };
    let mut budget = PruneBudget { rows: request.limit.max(1), bytes: BYTES_PER_STEP };
    while !budget.is_used_up() {
        // The next transaction returns the space.
        let Some(run) = tx.prune_work(request.settled_before)?.run else { break };
        if !run.has_begun {
            tx.admin_write(AdminWrite::BeginPrune(run.key))?;
        }
        // A run without tasks is work, too.
        budget.spend(1, 0);
        let removed = tx.prune(Some(run.key), &mut budget)?;
        outcome.tasks += removed.tasks;
        outcome.events += removed.events;
        outcome.runs += u32::from(removed.is_complete);
    }
    Ok(outcome)
}
