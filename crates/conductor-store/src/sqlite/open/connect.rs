//! Connections to a database, and their settings.

use super::{OpenError, SqliteOptions};
use crate::sqlite::connection::files;
use crate::sqlite::connection::sql::{Result, fault};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// In older versions, a checkpoint during a write could lose the write (the WAL-reset bug).
const OLDEST_SQLITE: i32 = 3_051_003;

pub(super) fn check_library(version: i32) -> Result<(), OpenError> {
    if version >= OLDEST_SQLITE {
        return Ok(());
    }
    let found = format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000);
    Err(OpenError::SqliteTooOld { found })
}

/// Connects to a file that exists, and changes nothing in it.
pub(super) fn connect(path: &Path, options: &SqliteOptions) -> Result<Connection, OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    let has_wal = files::beside(path, "-wal").exists();
    // Without CREATE, because a missing file is an error. Without URI, because `file:x?mode=ro` is a file name.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    if connection.is_readonly("main").map_err(sqlite)? {
        return Err(OpenError::ReadOnly { path: path.into(), source: None });
    }
    connection.busy_timeout(options.supported_busy_timeout()).map_err(sqlite)?;
    // The last connection to close a database checkpoints its log; the store must not do this to a foreign database.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_wal).map_err(sqlite)?;
    Ok(connection)
}

/// Applies the settings of the connection that writes.
pub(super) fn configure(
    path: &Path,
    connection: Connection,
    options: &SqliteOptions,
) -> Result<Connection, OpenError> {
    let configure = || {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        prepare_once(&connection, 256)?;
        connection.pragma_update(None, "synchronous", options.synchronous.as_str())?;
        connection.pragma_update(None, "foreign_keys", true)
    };
    configure().map_err(|error| OpenError::of_sqlite(path, error))?;
    Ok(connection)
}

/// Opens a connection that reads from a file which is open for writing already.
pub(crate) fn reader(path: &Path, options: &SqliteOptions) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(fault)?;
    connection.busy_timeout(options.supported_busy_timeout()).map_err(fault)?;
    prepare_once(&connection, 64).map_err(fault)?;
    Ok(connection)
}

/// Keeps statements and their plans, and takes lists of keys as parameters. Without the stability guarantee, SQLite
/// recompiles most statements at each binding, to look for a better plan. That costs more than the execution.
fn prepare_once(connection: &Connection, statements: usize) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(statements);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    rusqlite::vtab::array::load_module(connection)
}
