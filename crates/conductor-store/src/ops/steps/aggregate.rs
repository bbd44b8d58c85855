//! Decides parents and runs whose children have settled, and starts their joins.

use crate::backend::{Decidable, ParentRow};
use crate::ops::tx::{Transaction, apply_policy, decide, note_corrupt};
use crate::{AggregateOutcome, Step, StoreError};

/// Decides parents first. What becomes decidable only then is left to the next step.
pub(crate) fn aggregate(t: &mut Transaction<'_, '_>, step: &Step) -> Result<AggregateOutcome, StoreError> {
    let decidable = t.store()?.decidable(step.scope, step.limit.max(1))?;
    let mut outcome = AggregateOutcome { more: !decidable.is_empty(), ..AggregateOutcome::default() };
    let mut rows: Vec<ParentRow> = Vec::with_capacity(decidable.len());
    for Decidable { parent, new_failures } in decidable {
        match parent {
            Ok(mut row) => {
                // Changes that were added up now may be older than the end of their parent.
                if row.node.state.is_terminal() {
                    continue;
                }
                if new_failures {
                    apply_policy(t, &mut row);
                }
                rows.push(row);
            }
            Err(corrupt) => {
                count(&mut outcome, corrupt.key.task.is_some());
                note_corrupt(t, corrupt);
            }
        }
    }
    let followed = decide(t, &mut rows)?;
    for (row, _) in rows.iter().zip(followed).filter(|(_, followed)| *followed) {
        count(&mut outcome, row.node.key.task.is_some());
    }
    Ok(outcome)
}

fn count(outcome: &mut AggregateOutcome, is_task: bool) {
    if is_task {
        outcome.parents += 1;
    } else {
        outcome.runs += 1;
    }
}
