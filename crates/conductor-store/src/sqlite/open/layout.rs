//! The layout of a standalone file: incremental vacuum, and a write-ahead log.

use super::OpenError;
use crate::sqlite::connection::busy_retry::retry_while_busy;
use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;

/// The journal mode of a write-ahead log.
pub(super) const WAL: &str = "wal";

/// Whether the file has the layout.
pub(super) fn has_layout(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(has_incremental_vacuum(connection)? && journal_mode(connection)? == WAL)
}

/// Sets the layout while that is cheap: before the file has our tables, or when another program has switched the
/// write-ahead log off.
pub(super) fn set_layout(
    path: &Path,
    connection: &Connection,
    busy_timeout: Duration,
) -> Result<(), OpenError> {
    let set = || {
        set_incremental_vacuum(connection)?;
        // SQLite does not wait for readers here. Where it cannot have a WAL, it keeps the previous mode and returns no error.
        retry_while_busy(busy_timeout, || connection.pragma_update(None, "journal_mode", WAL))?;
        journal_mode(connection)
    };
    let mode = set().map_err(|error| OpenError::of_sqlite(path, error))?;
    if mode == WAL { Ok(()) } else { Err(OpenError::WalUnsupported { path: path.into(), mode }) }
}

fn has_incremental_vacuum(connection: &Connection) -> rusqlite::Result<bool> {
    const INCREMENTAL: i64 = 2;
    connection.pragma_query_value(None, "auto_vacuum", |row| Ok(row.get::<_, i64>(0)? == INCREMENTAL))
}

fn set_incremental_vacuum(connection: &Connection) -> rusqlite::Result<()> {
    if !has_incremental_vacuum(connection)? {
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        // An empty file has no pages to rewrite.
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        if pages > 0 {
            connection.execute_batch("VACUUM")?;
        }
    }
    Ok(())
}

pub(super) fn journal_mode(connection: &Connection) -> rusqlite::Result<String> {
    connection.pragma_query_value(None, "journal_mode", |row| row.get(0))
}
