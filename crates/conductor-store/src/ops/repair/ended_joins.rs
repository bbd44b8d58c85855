//! Decides parents and runs whose join has settled, at the end of a repair.

use crate::StoreError;
use crate::backend::{Backend, ParentKey, WriteTx};
use crate::ops::tx::{Transaction, decide_by_join, load_parent, run};
use conductor_model::{JoinStatus, Timestamp};

/// A parent or a run that its join must decide, because it has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndedJoin {
    /// The parent or the run.
    pub(super) parent: ParentKey,
    /// The status of its join.
    pub(super) status: JoinStatus,
}

/// Runs a repair in a transaction. Before the commit, it decides the parents that the repair returns.
pub(super) fn transaction<T>(
    backend: &impl Backend,
    now: Timestamp,
    repair: impl FnOnce(&mut dyn WriteTx) -> Result<(T, Vec<EndedJoin>), StoreError>,
) -> Result<T, StoreError> {
    backend.write(now, |tx| {
        run(tx, now, |t| {
            let (value, ended) = repair(t.store()?)?;
            ended.into_iter().try_for_each(|join| decide(t, join))?;
            Ok(value)
        })
    })
}

fn decide(t: &mut Transaction<'_, '_>, join: EndedJoin) -> Result<(), StoreError> {
    // One that cannot be read fails before the commit.
    if let Some(mut row) = load_parent(t, join.parent)? {
        decide_by_join(t, &mut row, join.status);
    }
    Ok(())
}
