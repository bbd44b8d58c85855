//! Which tasks must have an input of their own.

use super::replay::RunAudit;
use crate::StoreError;
use crate::backend::ReadTx;
use crate::ops::input::children_have_own_input;
use conductor_model::Json;

/// Whether each child of a parent must have an input of its own; not where the input of the parent itself is missing.
pub(super) fn children_need_input(
    tx: &mut dyn ReadTx,
    audit: &RunAudit,
    parent: u32,
) -> Result<bool, StoreError> {
    let input = known_input(tx, audit, parent)?;
    if input.is_none() && audit.fanned_out.contains(&parent) {
        return Ok(false);
    }
    Ok(children_have_own_input(input.as_ref(), audit.is_imported))
}

/// The known input of a task: its own one, or its item in the input of its parent.
fn known_input(tx: &mut dyn ReadTx, audit: &RunAudit, number: u32) -> Result<Option<Json>, StoreError> {
    let own = match audit.keys.key_of(number).map(|key| tx.own_input(key)) {
        None | Some(Err(StoreError::CorruptRow { .. })) => None,
        Some(read) => read?,
    };
    if own.is_some() {
        return Ok(own);
    }
    let task = audit.replay.task(number);
    let Some((parent, index)) = task.and_then(|task| Some((task.parent?, task.index))) else {
        return Ok(None);
    };
    let input = known_input(tx, audit, parent)?;
    Ok(input.as_ref().and_then(|input| item(input, index)).and_then(|item| item.parse().ok()))
}

/// The item for the child with this index in the input of its parent.
pub(crate) fn item(input: &Json, index: u32) -> Option<&str> {
    input.fanout_items().get((index as usize).checked_sub(1)?).copied()
}
