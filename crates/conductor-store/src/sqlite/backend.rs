//! The trait [`Backend`]: the database opens transactions and snapshots.

use super::store::SqliteStore;
use super::tx::SqliteTx;
use crate::WriteNotifier;
use crate::backend::{Backend, BackendError};
use crate::sqlite::connection::checkpoint::checkpoint_if_worthwhile;
use crate::sqlite::connection::sql::{Result, Sql, fault};
use crate::sqlite::connection::transaction::{begin, commit};
use conductor_model::Timestamp;
use std::path::Path;
use std::sync::atomic::Ordering;

impl Backend for SqliteStore {
    type Read<'b> = SqliteTx<'b>;
    type Write<'b> = SqliteTx<'b>;

    fn write<T, E: BackendError>(
        &self,
        now: Timestamp,
        operation: impl FnOnce(&mut SqliteTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (value, dead) = self.with_writer(|connection| -> Result<_, E> {
            let transaction = begin(connection, self.options.supported_busy_timeout()).map_err(fault)?;
            let mut tx = SqliteTx::new(&transaction, Some(self), now);
            // An operation that fails is rolled back when its transaction is dropped.
            let value = operation(&mut tx)?;
            let dead = tx.finish()?;
            commit(transaction)?;
            Ok((value, dead))
        })?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.liveness.remove_files(&dead);
        Ok(value)
    }

    fn read<T>(&self, query: impl FnOnce(&mut SqliteTx<'_>) -> Result<T>) -> Result<T> {
        self.read_with(|connection| query(&mut SqliteTx::new(connection, Some(self), Timestamp::MIN)))
    }

    /// Asks on the connection that writes, outside any transaction: its cache is warm, and it takes no lock.
    fn peek<T>(&self, query: impl FnOnce(&mut SqliteTx<'_>) -> Result<T>) -> Result<T> {
        self.with_writer(|connection| query(&mut SqliteTx::new(connection, Some(self), Timestamp::MIN)))
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

#[cfg(target_os = "linux")]
fn write_notifier_of(database: &Path) -> Option<Box<dyn WriteNotifier>> {
    crate::sqlite::connection::wal_watch::watch(database)
}

#[cfg(not(target_os = "linux"))]
fn write_notifier_of(_: &Path) -> Option<Box<dyn WriteNotifier>> {
    None
}
