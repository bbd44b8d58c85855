//! Opens databases: makes them, brings them up to date, adopts those of the original, refuses what is none of ours.
//! Databases of the caller's own go another way: [`install`].
//!
//! A file that needs nothing is opened without a write, under a shared lock. For all others, opening is a loop under an
//! exclusive lock: [`inspect`] returns the next setup step, the step is executed, and the file is inspected again.

mod adopt;
mod error;
pub(super) mod history;
mod inspect;
mod install;
mod options;
pub(super) mod place;
mod views;

pub use error::OpenError;
pub(super) use error::listed;
pub use install::install_into;
pub(super) use install::temporary;
pub use options::{SqliteOptions, Synchronous};

use super::patiently::patiently;
use super::sql::fault;
use crate::StoreError;
use inspect::{Next, inspect};
use place::Lock;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Below this a checkpoint that meets a write could lose it: the WAL-reset bug.
const OLDEST_SQLITE: i32 = 3_051_003;

/// The one path of a database file, however it is spelled.
pub(super) fn locate(path: &Path) -> Result<PathBuf, OpenError> {
    place::locate(path)
}

/// The connection that writes to a file, which is made if there is none.
pub(super) fn file(path: &Path, options: &SqliteOptions) -> Result<Connection, OpenError> {
    check_library(rusqlite::version_number())?;
    if options.embedded {
        return install::open(path, options);
    }
    if let Some(connection) = current(path, options)? {
        return Ok(connection);
    }
    let _lock = Lock::exclusive(path, options.setup_timeout)?;
    place::make(path)?;
    let mut connection = connect(path, options)?;
    let mut given = None;
    loop {
        let next = look(path, &mut connection, |_| Ok(()))?;
        if next == Next::Nothing {
            return configured(path, connection, options);
        }
        if given.as_ref() == Some(&next) {
            let what = format!("the setup step {next:?} had no effect");
            return Err(OpenError::Corrupt { path: path.into(), what });
        }
        advance(path, &mut connection, options, &next)?;
        given = Some(next);
    }
}

/// The connection that writes to a file which was open before: one that has vanished is not made anew.
pub(super) fn file_again(path: &Path, options: &SqliteOptions) -> Result<Connection, OpenError> {
    if place::has_content(path)? {
        return file(path, options);
    }
    let gone = std::io::Error::new(std::io::ErrorKind::NotFound, "the file was deleted, or is empty");
    Err(OpenError::of_system(path, gone))
}

/// The connection to a database in memory.
pub(super) fn memory() -> Result<Connection, OpenError> {
    let path = Path::new(":memory:");
    let sqlite = |error| OpenError::of_sqlite(path, error);
    check_library(rusqlite::version_number())?;
    let mut connection = Connection::open_in_memory().map_err(sqlite)?;
    advance(path, &mut connection, &SqliteOptions::default(), &Next::Migrate)?;
    views::make(&mut connection, views::all()).map_err(sqlite)?;
    configured(path, connection, &SqliteOptions::default())
}

/// A connection that reads from a file that is open for writing already.
pub(super) fn reader(path: &Path, options: &SqliteOptions) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(fault)?;
    connection.busy_timeout(options.patience()).map_err(fault)?;
    prepare_once(&connection, 64).map_err(fault)?;
    Ok(connection)
}

fn check_library(version: i32) -> Result<(), OpenError> {
    if version >= OLDEST_SQLITE {
        return Ok(());
    }
    let found = format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000);
    Err(OpenError::SqliteTooOld { found })
}

/// The connection to a file that needs nothing; `None` if there is something to do. A file that is refused is
/// refused here, before anything is written, the lock beside it included.
fn current(path: &Path, options: &SqliteOptions) -> Result<Option<Connection>, OpenError> {
    if !place::has_content(path)? {
        return Ok(None);
    }
    let _lock = Lock::shared(path, options.setup_timeout)?;
    let mut connection = connect(path, options)?;
    // In the same transaction, for another process may begin to adopt the file at any moment.
    let next = look(path, &mut connection, |original| adopt::check(path, original))?;
    if next == Next::Nothing { configured(path, connection, options).map(Some) } else { Ok(None) }
}

/// What the file needs next; if it is one of the original's, `check` looks at its rows.
fn look(
    path: &Path,
    connection: &mut Connection,
    check: impl FnOnce(&Connection) -> Result<(), OpenError>,
) -> Result<Next, OpenError> {
    let snapshot = connection.transaction().map_err(|error| OpenError::of_sqlite(path, error))?;
    let next = inspect(path, &snapshot)?;
    if next == Next::Rename {
        check(&snapshot)?;
    }
    Ok(next)
}

/// A connection to a file that exists, which it leaves as it is.
fn connect(path: &Path, options: &SqliteOptions) -> Result<Connection, OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    let has_log = place::beside(path, "-wal").exists();
    // Neither CREATE, for a file that vanished is an error, nor URI, for `file:x?mode=ro` is a name like others.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    if connection.is_readonly("main").map_err(sqlite)? {
        return Err(OpenError::ReadOnly { path: path.into(), source: None });
    }
    connection.busy_timeout(options.patience()).map_err(sqlite)?;
    // The last connection to close a database checkpoints its log; the store must not do this to a foreign database.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log).map_err(sqlite)?;
    Ok(connection)
}

/// Gives the file what it needs next. Each of these takes effect whole or not at all.
fn advance(
    path: &Path,
    connection: &mut Connection,
    options: &SqliteOptions,
    next: &Next,
) -> Result<(), OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    // Until WAL is on, a lost entry of the folder could bring the rollback journal back.
    connection.pragma_update(None, "synchronous", "EXTRA").map_err(sqlite)?;
    match next {
        Next::Rename => adopt::rename(path, connection),
        Next::LayOut => lay_out(path, connection, options.patience()),
        Next::Migrate => {
            connection.set_transaction_behavior(TransactionBehavior::Immediate);
            let migrated = history::migrate(connection);
            connection.set_transaction_behavior(TransactionBehavior::Deferred);
            migrated.map_err(|error| OpenError::Migration { path: path.into(), source: error.into() })
        }
        Next::CarryOver => adopt::carry_over(path, connection),
        Next::MakeViews(views) => views::make(connection, views).map_err(sqlite),
        Next::Nothing => Ok(()),
    }
}

/// Sets the layout of the file while that is cheap: before it has our tables, or when another program has switched the
/// write-ahead log off.
fn lay_out(path: &Path, connection: &Connection, patience: Duration) -> Result<(), OpenError> {
    vacuum_by_increments(connection)
        .and_then(|()| log_ahead(connection, patience))
        .map_err(|error| OpenError::of_sqlite(path, error))?;
    let mode = inspect::journal_mode(connection).map_err(|error| OpenError::of_sqlite(path, error))?;
    if mode == inspect::WAL { Ok(()) } else { Err(OpenError::WalUnsupported { path: path.into(), mode }) }
}

fn vacuum_by_increments(connection: &Connection) -> rusqlite::Result<()> {
    if !inspect::vacuums_by_increments(connection)? {
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        // Without a first page there is nothing to rewrite, and the choice alone decides.
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        if pages > 0 {
            connection.execute_batch("VACUUM")?;
        }
    }
    Ok(())
}

/// Asks for a write-ahead log. Where there can be none, SQLite keeps the mode that it had, and that is no error.
fn log_ahead(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    // SQLite does not wait for readers here, so the waiting is ours.
    patiently(patience, || connection.pragma_update(None, "journal_mode", inspect::WAL))
}

/// Keeps statements and their plans, and takes lists of keys as parameters. Without the stability guarantee, SQLite
/// recompiles most statements at each binding, to look for a better plan. That costs more than the execution.
fn prepare_once(connection: &Connection, statements: usize) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(statements);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    rusqlite::vtab::array::load_module(connection)
}

/// A connection as the store uses it.
fn configured(path: &Path, connection: Connection, options: &SqliteOptions) -> Result<Connection, OpenError> {
    let configure = || {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        prepare_once(&connection, 256)?;
        connection.pragma_update(None, "synchronous", options.synchronous.as_str())?;
        connection.pragma_update(None, "foreign_keys", true)
    };
    configure().map_err(|error| OpenError::of_sqlite(path, error))?;
    Ok(connection)
}

#[cfg(test)]
mod tests;
