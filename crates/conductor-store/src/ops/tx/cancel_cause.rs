//! Gives a parent or a run a cancel cause.

use super::parents_write::push_row;
use super::transaction::Transaction;
use crate::backend::ParentRow;
use conductor_model::{CancelCause, ErrorText, EventBody};

/// Notes why what is open below a parent or a run is cancelled from now on.
pub(crate) fn set_cancel_cause(
    t: &mut Transaction<'_, '_>,
    row: &mut ParentRow,
    cause: CancelCause,
    reason: Option<&ErrorText>,
) {
    row.status.cancel_cause = Some(cause);
    row.swept = 0;
    push_row(t, row);
    let reason = reason.cloned();
    let body = match row.node.key.task {
        None => EventBody::RunCancelRequested { cause, reason },
        Some(_) => EventBody::TaskCancelRequested { cause, reason },
    };
    t.push_parent_event(row.node.key, body);
}
