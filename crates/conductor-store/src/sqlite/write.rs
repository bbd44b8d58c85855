//! The transaction that every write goes through.

use super::ledger::Ledger;
use super::patiently::patiently;
use super::sql::{fault, no_connection};
use super::{OpenError, SqliteStore, open};
use crate::{AppendError, CancelError, ReviveError, SealError, StoreError, SubmitError};
use conductor_model::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// One intent, inside a transaction that has the write lock.
pub(super) struct Write<'c> {
    tx: &'c Connection,
    /// The numbers of the parents and runs that this transaction touches.
    pub(super) ledger: Ledger,
    /// The moment of the intent.
    pub(super) now: Timestamp,
}

impl SqliteStore {
    /// Carries out one intent: everything that `intent` writes, and the numbers that follow, or nothing.
    pub(super) fn write<T, E: MaybeFault>(
        &self,
        now: Timestamp,
        intent: impl FnOnce(&mut Write<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let value =
            self.with_writer(|connection| transact(connection, self.options.patience(), now, intent))?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(value)
    }

    /// Asks on the writer's connection, outside any transaction, whether a step has something to do: an idle
    /// step takes no write lock and writes nothing.
    pub(super) fn probe(
        &self,
        ask: impl FnOnce(&Connection) -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        self.with_writer(|connection| ask(connection))
    }

    /// Lends the connection that writes. After a disk error nothing that a connection remembers can be trusted: all of
    /// them are closed, and the next request opens new ones.
    fn with_writer<T, E: MaybeFault>(&self, work: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        let mut writer = self.lock_writer();
        let connection = match writer.as_ref() {
            Some(connection) => connection,
            None => &*writer.insert(self.reopen()?),
        };
        let result = work(connection);
        if let Err(error) = &result
            && error.fault().is_some_and(StoreError::invalidates_connection)
        {
            *writer = None;
            self.forget_readers();
        }
        result
    }

    fn reopen(&self) -> Result<Connection, StoreError> {
        let path = self.path.as_deref().ok_or_else(no_connection)?;
        open::file_again(path, &self.options).map_err(|error| match error {
            OpenError::Busy { .. } | OpenError::SetupInProgress { .. } => StoreError::Busy(Box::new(error)),
            other => StoreError::Io(Box::new(other)),
        })
    }
}

fn transact<T, E: MaybeFault>(
    connection: &Connection,
    patience: Duration,
    now: Timestamp,
    intent: impl FnOnce(&mut Write<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let tx = begin(connection, patience).map_err(fault)?;
    // An intent that fails is rolled back when its transaction is dropped.
    let value = carry_out(&tx, now, intent)?;
    tx.commit().map_err(|error| match fault(error) {
        // Nothing was written yet when SQLite could not get its lock.
        busy @ StoreError::Busy(_) => busy,
        other => StoreError::CommitOutcomeUnknown(Box::new(other)),
    })?;
    Ok(value)
}

/// Begins a transaction that has the write lock, and waits for it as long as that.
fn begin(connection: &Connection, patience: Duration) -> rusqlite::Result<Transaction<'_>> {
    connection.busy_timeout(Duration::ZERO)?;
    let begun =
        patiently(patience, || Transaction::new_unchecked(connection, TransactionBehavior::Immediate));
    connection.busy_timeout(patience)?;
    begun
}

/// Executes one request inside a transaction that the caller commits: all that `intent` writes, and the counts that follow.
/// After an error the caller must roll back.
pub(super) fn carry_out<T, E: MaybeFault>(
    tx: &Connection,
    now: Timestamp,
    intent: impl FnOnce(&mut Write<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let mut write = Write { tx, ledger: Ledger::default(), now };
    let value = intent(&mut write)?;
    write.fail_what_is_damaged()?;
    let Write { ledger, .. } = write;
    ledger.flush(tx, now)?;
    Ok(value)
}

/// An error of an intent, which may be the store's own.
pub(super) trait MaybeFault: From<StoreError> {
    /// The fault, if it is one.
    fn fault(&self) -> Option<&StoreError>;
}

impl MaybeFault for StoreError {
    fn fault(&self) -> Option<&StoreError> {
        Some(self)
    }
}

macro_rules! maybe_fault {
    ($($error:ident),*) => {$(
        impl MaybeFault for $error {
            fn fault(&self) -> Option<&StoreError> {
                if let Self::Store(fault) = self { Some(fault) } else { None }
            }
        }
    )*};
}

maybe_fault!(SubmitError, AppendError, SealError, CancelError, ReviveError);

impl Write<'_> {
    /// The connection inside the transaction.
    pub(super) fn tx(&self) -> &Connection {
        self.tx
    }

    /// The connection and the ledger, both to be changed.
    pub(super) fn parts(&mut self) -> (&Connection, &mut Ledger, Timestamp) {
        (self.tx, &mut self.ledger, self.now)
    }
}
