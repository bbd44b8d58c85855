//! The trait [`Backend`]: the database opens transactions and snapshots on its connections.

use super::engines::DeadEngine;
use super::open::{self, OpenError};
use super::store::SqliteStore;
use super::tx::SqliteTx;
use crate::backend::{Backend, BackendError};
use crate::sqlite::connection::checkpoint::checkpoint_if_worthwhile;
use crate::sqlite::connection::sql::{Result, Sql, fault, no_connection};
use crate::sqlite::connection::transaction::{begin, commit};
use crate::{StoreError, WriteNotifier};
use conductor_model::Timestamp;
use rusqlite::Connection;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

impl Backend for SqliteStore {
    type Read<'b> = SqliteTx<'b>;
    type Write<'b> = SqliteTx<'b>;

    fn write<T, E: BackendError>(
        &self,
        now: Timestamp,
        operation: impl FnOnce(&mut SqliteTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write_with(|connection| {
            let mut tx = SqliteTx::new(connection, Some(self), now);
            let value = operation(&mut tx)?;
            Ok((value, tx.finish()?))
        })
    }

    fn read<T>(&self, query: impl FnOnce(&mut SqliteTx<'_>) -> Result<T>) -> Result<T> {
        self.read_with(|connection| query(&mut SqliteTx::new(connection, Some(self), Timestamp::MIN)))
    }

    fn peek<T>(&self, query: impl FnOnce(&mut SqliteTx<'_>) -> Result<T>) -> Result<T> {
        self.peek_with(|connection| query(&mut SqliteTx::new(connection, Some(self), Timestamp::MIN)))
    }

    fn change_token(&self) -> Result<u64> {
        self.with_writer(|connection| {
            // Writes of other connections change the version, and writes of this connection the number of changes.
            let theirs = connection.first("PRAGMA data_version", [], |row| row.get::<_, u32>(0))?;
            Ok(u64::from(theirs.unwrap_or(0)) << 40 ^ connection.total_changes())
        })
    }

    fn write_notifier(&self) -> Option<Box<dyn WriteNotifier>> {
        write_notifier_of(self.liveness.path.as_deref()?)
    }

    fn on_idle(&self) {
        if let Some(path) = &self.liveness.path {
            checkpoint_if_worthwhile(path, &self.commits);
        }
    }
}

impl SqliteStore {
    /// Runs an operation in a transaction. It also returns the engines whose files can be removed after the commit.
    pub(crate) fn write_with<T, E: BackendError>(
        &self,
        operation: impl FnOnce(&Connection) -> Result<(T, Vec<DeadEngine>), E>,
    ) -> Result<T, E> {
        let (value, dead) = self.with_writer(|connection| -> Result<_, E> {
            let transaction = begin(connection, self.options.supported_busy_timeout()).map_err(fault)?;
            // An operation that fails is rolled back when its transaction is dropped.
            let answer = operation(&transaction)?;
            commit(transaction)?;
            Ok(answer)
        })?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.liveness.remove_files(&dead);
        Ok(value)
    }

    /// Runs a query on a connection that only reads. All its statements see one state of the database.
    pub(crate) fn read_with<T>(&self, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let Some(path) = &self.liveness.path else {
            let writer = self.lock_writer();
            return query(writer.as_ref().ok_or_else(no_connection)?);
        };
        let idle = self.lock_readers().pop();
        let reader = idle.map_or_else(|| open::reader(path, &self.options), Ok)?;
        reader.run("BEGIN", [])?;
        // A connection that met an error is closed.
        let answer = query(&reader)?;
        reader.run("COMMIT", [])?;
        let mut idle = self.lock_readers();
        if idle.len() < self.options.readers {
            idle.push(reader);
        }
        Ok(answer)
    }

    /// Runs a query on the connection that writes, outside any transaction: its cache is warm, and it takes no lock.
    pub(crate) fn peek_with<T>(&self, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.with_writer(query)
    }

    pub(super) fn lock_writer(&self) -> MutexGuard<'_, Option<Connection>> {
        // A thread that has just written queues here behind the waiting threads. Without this queue it would get the writer
        // again before they wake up, and could starve them.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // A panic inside a transaction has rolled it back, so that the connection is still usable.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_readers(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends the connection that writes. After a disk error nothing that a connection remembers can be trusted: all of
    /// them are closed, and the next request opens new ones.
    fn with_writer<T, E: BackendError>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut writer = self.lock_writer();
        let connection = match writer.as_ref() {
            Some(connection) => connection,
            None => &*writer.insert(self.reopen()?),
        };
        let result = work(connection);
        if let Err(error) = &result
            && error.store_error().is_some_and(StoreError::invalidates_connection)
        {
            *writer = None;
            self.lock_readers().clear();
        }
        result
    }

    fn reopen(&self) -> Result<Connection> {
        let path = self.liveness.path.as_deref().ok_or_else(no_connection)?;
        open::file_again(path, &self.options).map_err(|error| match error {
            OpenError::Busy { .. } | OpenError::SetupInProgress { .. } => StoreError::Busy(Box::new(error)),
            other => StoreError::Io(Box::new(other)),
        })
    }
}

#[cfg(target_os = "linux")]
fn write_notifier_of(database: &Path) -> Option<Box<dyn WriteNotifier>> {
    crate::sqlite::connection::wal_watch::watch(database)
}

#[cfg(not(target_os = "linux"))]
fn write_notifier_of(_: &Path) -> Option<Box<dyn WriteNotifier>> {
    None
}
