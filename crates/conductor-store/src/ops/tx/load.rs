//! Reads parents and runs, with all that the transaction has counted.

use super::counts::{apply_counts, apply_policies};
use super::transaction::{Transaction, note_corrupt};
use crate::StoreError;
use crate::backend::{Node, NodesWanted, ParentKey, ParentRow, ReadParent};
use conductor_model::TaskId;
use std::collections::HashSet;

/// Reads parents and runs in the order of the keys.
pub(crate) fn load_parents(
    t: &mut Transaction<'_, '_>,
    keys: &[ParentKey],
) -> Result<Vec<ReadParent>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    apply_counts(t)?;
    t.store()?.parents(keys)
}

/// Reads a parent or a run. One that cannot be read is noted, and fails at the end of the transaction.
pub(crate) fn load_parent(
    t: &mut Transaction<'_, '_>,
    key: ParentKey,
) -> Result<Option<ParentRow>, StoreError> {
    let row = load_parents(t, &[key])?.pop();
    Ok(row.and_then(|row| readable(t, row)))
}

/// Returns a parent or a run that was read. One that cannot be read is noted, and fails at the end of the transaction.
pub(super) fn readable(t: &mut Transaction<'_, '_>, row: ReadParent) -> Option<ParentRow> {
    row.map_err(|corrupt| note_corrupt(t, corrupt)).ok()
}

/// Reads a parent or a run that the operation cannot do without.
pub(crate) fn require_parent(t: &mut Transaction<'_, '_>, key: ParentKey) -> Result<ParentRow, StoreError> {
    match load_parents(t, &[key])?.pop() {
        Some(Ok(row)) => Ok(row),
        Some(Err(corrupt)) => Err(StoreError::CorruptRow { row: row_name(key), reason: corrupt.reason }),
        None => Err(StoreError::CorruptRow { row: row_name(key), reason: "its row is missing".into() }),
    }
}

pub(super) fn row_name(key: ParentKey) -> String {
    key.task.map_or_else(|| key.run.to_string(), |task| task.to_string())
}

/// Returns whether this parent, or anything above it, is being cancelled. What cannot be read is not.
pub(crate) fn is_cancelling(t: &mut Transaction<'_, '_>, parent: ParentKey) -> Result<bool, StoreError> {
    learn_above(t, &[parent])?;
    Ok(t.ancestors.is_cancelling(parent))
}

/// Returns those of these parents that are being cancelled, or are below one that is.
pub(crate) fn is_cancelling_all(
    t: &mut Transaction<'_, '_>,
    parents: &[ParentKey],
) -> Result<HashSet<ParentKey>, StoreError> {
    learn_above(t, parents)?;
    Ok(parents.iter().copied().filter(|parent| t.ancestors.is_cancelling(*parent)).collect())
}

/// Reads what stands above the children of these parents, where it is not known, with the effects of all failures so far.
pub(crate) fn learn_above(t: &mut Transaction<'_, '_>, parents: &[ParentKey]) -> Result<(), StoreError> {
    // The policy of a parent may cancel after a failure that is not counted yet.
    apply_policies(t)?;
    read_above(t, parents)
}

/// Reads what stands above the children of these parents, where it is not known.
pub(crate) fn read_above(t: &mut Transaction<'_, '_>, parents: &[ParentKey]) -> Result<(), StoreError> {
    let unknown: Vec<ParentKey> =
        parents.iter().copied().filter(|parent| !t.ancestors.knows(*parent)).collect();
    if !unknown.is_empty() {
        let above = t.store()?.above(&unknown)?;
        t.ancestors.learn(&above);
    }
    Ok(())
}

/// Finds a task by its id.
pub(crate) fn find_task(t: &mut Transaction<'_, '_>, id: TaskId) -> Result<Option<Node>, StoreError> {
    Ok(t.store()?.nodes(NodesWanted::Id(id))?.pop())
}
