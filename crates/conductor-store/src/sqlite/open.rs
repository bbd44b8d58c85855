//! Opens databases: makes them, brings them up to date, refuses what is none of ours.

use crate::Fault;
use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;

mod migrations {
    //! The migrations, embedded.
    refinery::embed_migrations!("migrations");
}

/// How an SQLite database is opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// How durable a commit is; [`Synchronous::Full`] by default.
    pub synchronous: Synchronous,
    /// How long a writer waits for another one; 5 seconds by default.
    pub busy_timeout: Duration,
    /// How many idle connections for readers are kept; 4 by default.
    pub readers: usize,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { synchronous: Synchronous::Full, busy_timeout: Duration::from_secs(5), readers: 4 }
    }
}

impl SqliteOptions {
    /// The same options with that durability.
    pub fn synchronous(self, synchronous: Synchronous) -> Self {
        Self { synchronous, ..self }
    }

    /// The same options with that busy timeout.
    pub fn busy_timeout(self, busy_timeout: Duration) -> Self {
        Self { busy_timeout, ..self }
    }
}

/// How durable a commit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// A commit survives a crash of the process, not always a loss of power.
    Normal,
    /// Acknowledged means it survives power loss.
    #[default]
    Full,
}

/// The database was not opened. Its bytes are as before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The database could not be opened or brought up to date.
    #[error("the database could not be opened")]
    Backend(#[from] rusqlite::Error),
    /// The migrations failed.
    #[error("the database could not be brought up to date")]
    Migration(#[from] refinery::Error),
}

/// The connection that writes to a file.
pub(super) fn file(path: &Path, options: &SqliteOptions) -> Result<Connection, OpenError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(options.busy_timeout)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    set_up(&mut connection, options)?;
    Ok(connection)
}

/// The connection to a database in memory.
pub(super) fn memory() -> Result<Connection, OpenError> {
    let mut connection = Connection::open_in_memory()?;
    set_up(&mut connection, &SqliteOptions::default())?;
    Ok(connection)
}

fn set_up(connection: &mut Connection, options: &SqliteOptions) -> Result<(), OpenError> {
    connection.set_prepared_statement_cache_capacity(128);
    let synchronous = match options.synchronous {
        Synchronous::Normal => "NORMAL",
        Synchronous::Full => "FULL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let mut runner = migrations::migrations::runner().set_grouped(true);
    runner.set_migration_table_name("conductor_migrations");
    runner.run(connection)?;
    Ok(())
}

/// A connection that reads from a file that is open for writing already.
pub(super) fn reader(path: &Path, options: &SqliteOptions) -> Result<Connection, Fault> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(super::write::fault)?;
    connection.busy_timeout(options.busy_timeout).map_err(super::write::fault)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}
