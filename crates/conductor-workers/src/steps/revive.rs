//! Revive all that failed, transaction by transaction.

use conductor_store::{Admin, Environment, NodeId, Revive, ReviveError, ReviveFilter, ReviveOutcome};

/// How many tasks one transaction looks at.
const TASKS_PER_STEP: u32 = 1000;

/// Tries all leaves below a parent, or of a run, again that ended so: in bounded transactions, each leaf once. How many were
/// revived, reopened and skipped in all.
///
/// # Errors
/// [`ReviveError`]; what earlier transactions revived stays so, and a second call goes on.
pub fn revive_all(
    store: &(impl Admin + ?Sized),
    below: impl Into<NodeId>,
    which: ReviveFilter,
    env: &Environment,
) -> Result<ReviveOutcome, ReviveError> {
    let below = below.into();
    let mut all = ReviveOutcome::default();
    loop {
        let after = all.next;
        let step = Revive::All { below, which, cursor: after, limit: TASKS_PER_STEP, now: env.now() };
        let revived = store.revive(&step)?;
        all.tasks += revived.tasks;
        all.reopened += revived.reopened;
        all.skipped += revived.skipped;
        all.next = revived.next;
        if all.next.is_none() {
            return Ok(all);
        }
    }
}
