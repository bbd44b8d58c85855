//! Counts transitions, and applies the policy of parents to new failures.

use super::cancel_cause::set_cancel_cause;
use super::transaction::{Transaction, note_corrupt};
use crate::StoreError;
use crate::backend::{CountChange, Counted, ParentRow};
use conductor_model::Decision;

/// Counts all transitions so far, and applies the policy to their failures.
///
/// A store may count later. Then the next aggregate step applies the policy.
pub(super) fn apply_counts(t: &mut Transaction<'_, '_>) -> Result<(), StoreError> {
    let changes = t.take_counts();
    if changes.is_empty() {
        return Ok(());
    }
    let (parents, corrupt_runs) = match t.store()?.count(&changes)? {
        Counted::Now { parents, corrupt_runs } => (parents, corrupt_runs),
        Counted::Later => {
            t.counts_later = true;
            return Ok(());
        }
    };
    for corrupt in corrupt_runs {
        note_corrupt(t, corrupt);
    }
    let changes: Vec<&CountChange> =
        changes.iter().filter(|change| change.delta.children != [0; 4]).collect();
    if changes.len() != parents.len() {
        let error = format!("the store counted {} parents and returned {}", changes.len(), parents.len());
        return Err(StoreError::Backend(error.into()));
    }
    for (change, parent) in changes.into_iter().zip(parents) {
        match parent {
            Ok(mut row) if change.delta.has_failures() => apply_policy(t, &mut row),
            Ok(_) => {}
            Err(corrupt) => note_corrupt(t, corrupt),
        }
    }
    Ok(())
}

/// Applies the policies of parents to all failures so far. A store that counts later is asked only once.
pub(super) fn apply_policies(t: &mut Transaction<'_, '_>) -> Result<(), StoreError> {
    if t.counts_later { Ok(()) } else { apply_counts(t) }
}

/// Cancels the siblings of children that have just failed, if the policy of their parent says so.
///
/// An older failure does not: it would cancel the siblings that were revived after it.
pub(crate) fn apply_policy(t: &mut Transaction<'_, '_>, row: &mut ParentRow) {
    if let Decision::CancelOpenChildren(cause) = row.status.decide()
        && !row.node.state.is_terminal()
    {
        set_cancel_cause(t, row, cause, None);
    }
}
