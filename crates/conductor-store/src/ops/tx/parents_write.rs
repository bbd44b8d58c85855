//! Writes of parents and runs that make no transition.

use super::transaction::Transaction;
use crate::backend::{CorruptParent, ParentRow, ParentWrite, ReadParent};

/// Writes a parent or a run that makes no transition.
pub(crate) fn push_row(t: &mut Transaction<'_, '_>, row: &ParentRow) {
    t.push_parent(ParentWrite {
        row: *row,
        is_corrupt: false,
        output: None,
        clears_output: false,
        error: None,
    });
}

/// Removes the time for which a parent waits.
pub(crate) fn clear_parent_due(t: &mut Transaction<'_, '_>, parent: &ReadParent) {
    let (mut row, is_corrupt) = match parent {
        Ok(row) => (*row, false),
        Err(CorruptParent { node: Some(node), .. }) => (ParentRow::of_corrupt(**node), true),
        Err(_) => return,
    };
    row.node.due_at = None;
    t.push_parent(ParentWrite { row, is_corrupt, output: None, clears_output: false, error: None });
}
