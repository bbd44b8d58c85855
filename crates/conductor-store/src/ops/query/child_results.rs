//! The results of children, for joins and readers.

use crate::backend::{ChildResult, ChildResultsWanted, ReadTx};
use crate::ops::page::{BYTES_PER_PAGE, empty_page, page_limit};
use crate::{ChildFailure, ChildOutput, NodeId, Page, StoreError};
use conductor_model::ErrorText;

/// How many children one page searches: a page of the few that failed among a million is no long transaction.
const CHILDREN_PER_PAGE: u32 = 20_000;

/// See [`Query::child_outputs`](crate::Query::child_outputs).
pub(crate) fn child_outputs(
    tx: &mut dyn ReadTx,
    parent: NodeId,
    after: u32,
    limit: u32,
) -> Result<Page<ChildOutput, u32>, StoreError> {
    let Page { items, next } = results(tx, parent, true, after, limit)?;
    let output = |child: ChildResult| ChildOutput { index: child.index, output: child.output };
    Ok(Page { items: items.into_iter().map(output).collect(), next })
}

/// See [`Query::child_failures`](crate::Query::child_failures).
pub(crate) fn child_failures(
    tx: &mut dyn ReadTx,
    parent: NodeId,
    after: u32,
    limit: u32,
) -> Result<Page<ChildFailure, u32>, StoreError> {
    let Page { items, next } = results(tx, parent, false, after, limit)?;
    let failure = |child: ChildResult| {
        let ChildResult { index, id, state, error, .. } = child;
        ChildFailure { index, id, state, error }
    };
    Ok(Page { items: items.into_iter().map(failure).collect(), next })
}

/// A page of children, bounded by their number, by their bytes, and by how many are searched.
fn results(
    tx: &mut dyn ReadTx,
    parent: NodeId,
    succeeded: bool,
    after: u32,
    limit: u32,
) -> Result<Page<ChildResult, u32>, StoreError> {
    let Some(place) = tx.locate(parent)? else { return Ok(empty_page()) };
    let (limit, until) = (page_limit(limit), after.saturating_add(CHILDREN_PER_PAGE));
    let (parent, max_bytes) = (place.key, BYTES_PER_PAGE);
    let children =
        tx.child_results(&ChildResultsWanted { parent, succeeded, after, until, limit, max_bytes })?;
    let size = |child: &ChildResult| {
        let error = child.error.as_ref().map_or(0, |error| ErrorText::as_str(error).len());
        child.output.as_ref().map_or(0, String::len) + error
    };
    let items = children.results;
    let bytes: usize = items.iter().map(size).sum();
    let is_full = items.len() == limit as usize || bytes >= max_bytes;
    let next = if is_full { items.last().map_or(until, |child| child.index) } else { until };
    Ok(Page { items, next: (next < children.created).then_some(next) })
}
