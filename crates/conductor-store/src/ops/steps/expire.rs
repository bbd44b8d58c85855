//! Cancels runs whose deadline has passed.

use crate::backend::{Node, Work};
use crate::ops::tx::{Transaction, note_corrupt, push_row, set_cancel_cause};
use crate::{Step, StepOutcome, StoreError};
use conductor_model::{CancelCause, Decision};

pub(crate) fn expire(t: &mut Transaction<'_, '_>, step: &Step) -> Result<StepOutcome, StoreError> {
    let limit = step.limit.max(1);
    let runs = t.store()?.find(&Work::Expire(step.scope, step.now), limit)?;
    let more = runs.len() == limit as usize;
    let mut changed = 0;
    for run in runs {
        let Node::Parent(run) = run else { continue };
        match run {
            // It settled in time; only its deadline must be cleared.
            Ok(mut row) if matches!(row.status.decide(), Decision::Settle(_)) => {
                row.deadline = None;
                push_row(t, &row);
            }
            Ok(mut row) => {
                set_cancel_cause(t, &mut row, CancelCause::Deadline, None);
                changed += 1;
            }
            Err(corrupt) => note_corrupt(t, corrupt),
        }
    }
    Ok(StepOutcome { changed, more })
}
