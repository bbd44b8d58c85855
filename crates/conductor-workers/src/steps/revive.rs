//! Revives many tasks, in bounded transactions.

use super::drain::drain;
use conductor_store::{Admin, Environment, NodeId, Revive, ReviveError, ReviveFilter, ReviveOutcome};

/// How many tasks one transaction reads.
const TASKS_PER_STEP: u32 = 1000;

/// Revives all leaves below a task or of a run that `filter` selects, each leaf once, in bounded transactions. Returns the
/// totals of revived, reopened and skipped tasks.
///
/// # Errors
/// [`ReviveError`]; earlier transactions remain, and a second call continues after them.
pub fn revive_all(
    store: &(impl Admin + ?Sized),
    below: impl Into<NodeId>,
    filter: ReviveFilter,
    env: &Environment,
) -> Result<ReviveOutcome, ReviveError> {
    let below = below.into();
    let mut totals = ReviveOutcome::default();
    drain(|| -> Result<bool, ReviveError> {
        let (cursor, now) = (totals.next, env.now());
        let request = Revive::All { below, which: filter, cursor, limit: TASKS_PER_STEP, now };
        let step = store.revive(&request)?;
        totals.tasks += step.tasks;
        totals.reopened += step.reopened;
        totals.skipped += step.skipped;
        totals.next = step.next;
        Ok(totals.next.is_some())
    })?;
    Ok(totals)
}
