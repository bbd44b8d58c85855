//! Transactions of the connection that writes.

use super::busy_retry::retry_while_busy;
use super::sql::{Result, fault};
use crate::StoreError;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::time::Duration;

/// Begins a transaction with the write lock, and waits for the lock until the timeout.
pub(crate) fn begin(connection: &Connection, busy_timeout: Duration) -> rusqlite::Result<Transaction<'_>> {
    connection.busy_timeout(Duration::ZERO)?;
    let begun = retry_while_busy(busy_timeout, || {
        Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
    });
    connection.busy_timeout(busy_timeout)?;
    begun
}

/// Commits a transaction.
pub(crate) fn commit(transaction: Transaction<'_>) -> Result<()> {
    transaction.commit().map_err(|error| match fault(error) {
        // Nothing was written yet when SQLite could not get its lock.
        busy @ StoreError::Busy(_) => busy,
        other => StoreError::CommitOutcomeUnknown(Box::new(other)),
    })
}
