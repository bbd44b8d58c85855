//! Explains why a run or a task is in its state.
//!
//! A parent or a run that waits for a child continues with the explanation of that child, and so on down to a leaf.

mod cancellation;
mod leaf;
mod parent;
mod snapshot;

use crate::backend::{ExplainDetail, ExplainRow, ParentKey, ReadTx};
use crate::{NodeId, StoreError};
use conductor_model::{Explanation, Timestamp};
pub(crate) use snapshot::Snapshot;

/// How many levels an explanation goes down.
const LEVELS: u32 = 64;

/// See [`Query::explain`](crate::Query::explain).
pub(crate) fn explain(
    tx: &mut dyn ReadTx,
    node: NodeId,
    now: Timestamp,
) -> Result<Option<Explanation>, StoreError> {
    let Some(place) = tx.locate(node)? else { return Ok(None) };
    let mut explanations = explain_all(tx, &[place.key], now)?;
    Ok(explanations.pop().flatten())
}

/// Explains several runs and tasks, in the order of the keys; `None` for what is missing.
pub(crate) fn explain_all(
    tx: &mut dyn ReadTx,
    keys: &[ParentKey],
    now: Timestamp,
) -> Result<Vec<Option<Explanation>>, StoreError> {
    let mut snapshot = Snapshot::new(tx, now);
    let rows = snapshot.rows(keys)?;
    rows.into_iter().map(|row| row.map(|row| explain_row(&mut snapshot, row, LEVELS)).transpose()).collect()
}

/// Explains a run or a task, and what below it makes its state; so many levels down.
fn explain_row(snapshot: &mut Snapshot<'_>, row: ExplainRow, levels: u32) -> Result<Explanation, StoreError> {
    let (reason, below) = match &row.detail {
        ExplainDetail::Leaf(leaf) => (leaf::reason(snapshot, &row, leaf)?, None),
        ExplainDetail::Parent(status) => {
            let reason = parent::reason(snapshot, &row, status)?;
            let below = if levels == 0 { None } else { parent::cause(snapshot, &row, status, &reason)? };
            (reason, below)
        }
    };
    let below = below.map(|below| explain_row(snapshot, below, levels - 1)).transpose()?;
    Ok(Explanation { target: row.target, state: row.state, reason, caused_by: below.map(Box::new) })
}
