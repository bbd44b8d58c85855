//! The frame of an operation.

use super::corrupt::fail_corrupt_parents;
use super::counts::apply_counts;
use super::decide::decide_ended_joins;
use super::transaction::Transaction;
use crate::StoreError;
use crate::backend::WriteTx;
use conductor_model::Timestamp;

/// Runs an operation in a transaction of a store, with all that follows from it: counts, decisions by joins that have
/// settled, failures of what cannot be read, and the events last.
pub(crate) fn run<'t, 'r, T, E: From<StoreError>>(
    tx: &'t mut dyn WriteTx,
    now: Timestamp,
    operation: impl FnOnce(&mut Transaction<'t, 'r>) -> Result<T, E>,
) -> Result<T, E> {
    let mut t = Transaction::new(tx, now);
    let value = operation(&mut t)?;
    finish(&mut t)?;
    Ok(value)
}

fn finish(t: &mut Transaction<'_, '_>) -> Result<(), StoreError> {
    loop {
        apply_counts(t)?;
        decide_ended_joins(t)?;
        // A parent that fails is counted in its own, which may be damaged as well.
        if !fail_corrupt_parents(t)? && t.counts.is_empty() {
            return t.record_events();
        }
    }
}
