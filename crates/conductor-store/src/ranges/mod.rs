//! A store on SQLite whose tables keep the children of a fan-out together: see `tables.sql`.
//!
//! It has the same files, connections and engines as [`SqliteStore`], and other tables.

mod audit;
mod import;
mod reads;
mod rows;
mod tx;
mod work;
mod writes;

use crate::WriteNotifier;
use crate::backend::{Backend, BackendError};
use crate::sqlite::connection::sql::Result;
use crate::sqlite::{OpenError, SqliteOptions, SqliteStore};
use conductor_model::Timestamp;
use std::path::Path;
use tx::RangeTx;

/// The tables, and the views for other programs.
const TABLES: &str = concat!(include_str!("tables.sql"), include_str!("views.sql"));

/// A store on SQLite whose tables keep children together.
#[derive(Debug)]
pub struct RangeStore(SqliteStore);

impl RangeStore {
    /// Opens a database in memory.
    ///
    /// # Errors
    /// [`OpenError`] if the SQLite library is too old.
    pub fn open_in_memory() -> Result<Self, OpenError> {
        SqliteStore::open_in_memory_with(TABLES).map(Self)
    }

    /// Creates a database file.
    ///
    /// # Errors
    /// [`OpenError`]; the file must not exist.
    pub fn create(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        SqliteStore::create_with(path.as_ref(), options, TABLES).map(Self)
    }

    /// Opens a file of the TypeScript version, and imports its rows.
    ///
    /// # Errors
    /// [`OpenError`], as [`SqliteStore::open_with`] returns it; a rejected file is not changed.
    pub fn import(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        SqliteStore::import_with(path.as_ref(), options, TABLES, import::copy).map(Self)
    }
}

impl Backend for RangeStore {
    type Read<'b> = RangeTx<'b>;
    type Write<'b> = RangeTx<'b>;

    fn write<T, E: BackendError>(
        &self,
        now: Timestamp,
        operation: impl FnOnce(&mut RangeTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.0.write_with(|connection| {
            let mut tx = RangeTx::new(connection, Some(&self.0), now);
            let value = operation(&mut tx)?;
            Ok((value, tx.finish()?))
        })
    }

    fn read<T>(&self, query: impl FnOnce(&mut RangeTx<'_>) -> Result<T>) -> Result<T> {
        self.0.read_with(|connection| query(&mut RangeTx::new(connection, Some(&self.0), Timestamp::MIN)))
    }

    fn peek<T>(&self, query: impl FnOnce(&mut RangeTx<'_>) -> Result<T>) -> Result<T> {
        self.0.peek_with(|connection| query(&mut RangeTx::new(connection, Some(&self.0), Timestamp::MIN)))
    }

    fn change_token(&self) -> Result<u64> {
        self.0.change_token()
    }

    fn write_notifier(&self) -> Option<Box<dyn WriteNotifier>> {
        self.0.write_notifier()
    }

    fn on_idle(&self) {
        self.0.on_idle();
    }
}
