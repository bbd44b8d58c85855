//! What a store has to do now and later.

use crate::backend::{CountsWanted, ReadTx};
use crate::ops::page::page_limit;
use crate::ops::scope::{require_run, run_of_scope};
use crate::{RunBlockers, Scope, StoreError};
use conductor_model::{Kind, RunId, StateCounts, Timestamp};

/// See [`Query::state_counts`](crate::Query::state_counts).
pub(crate) fn state_counts(tx: &mut dyn ReadTx, scope: Scope) -> Result<StateCounts, StoreError> {
    let run = run_of_scope(tx, scope)?;
    Ok(tx.counts(run, &[CountsWanted::States])?.states)
}

/// See [`Query::next_due`](crate::Query::next_due).
pub(crate) fn next_due(tx: &mut dyn ReadTx) -> Result<Option<Timestamp>, StoreError> {
    Ok(tx.counts(None, &[CountsWanted::NextDue])?.next_due)
}

/// See [`Query::ready_kinds`](crate::Query::ready_kinds).
pub(crate) fn ready_kinds(tx: &mut dyn ReadTx, limit: u32) -> Result<Vec<Kind>, StoreError> {
    Ok(tx.blockers(None, page_limit(limit))?.ready)
}

/// See [`Query::run_blockers`](crate::Query::run_blockers).
pub(crate) fn run_blockers(tx: &mut dyn ReadTx, run: RunId, limit: u32) -> Result<RunBlockers, StoreError> {
    let run = require_run(tx, run)?;
    tx.blockers(Some(run), page_limit(limit))
}
