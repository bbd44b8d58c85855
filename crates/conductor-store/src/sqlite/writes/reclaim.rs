//! Gives free pages back to the file system.

use crate::backend::Pruned;
use crate::sqlite::connection::sql::{Result, Sql, fault};
use rusqlite::Connection;

/// The number of pages that one transaction gives back. SQLite may have to move each first.
const PAGES_PER_STEP: u64 = 500;

/// Gives free pages back to the file system.
pub(crate) fn reclaim(tx: &Connection) -> Result<Pruned> {
    let before = free_pages(tx)?;
    // The statement returns no rows, and gives back a page with each step.
    let sql = format!("PRAGMA incremental_vacuum({PAGES_PER_STEP})");
    let mut statement = tx.cached(&sql)?;
    let mut steps = statement.query([]).map_err(fault)?;
    while steps.next().map_err(fault)?.is_some() {}
    let after = free_pages(tx)?;
    let bytes = before.saturating_sub(after) * pragma(tx, "PRAGMA page_size")?;
    Ok(Pruned { bytes, is_complete: after == 0, ..Pruned::default() })
}

/// The number of free pages that can be given back to the file system: 0 without incremental vacuum.
pub(crate) fn free_pages(connection: &Connection) -> Result<u64> {
    if pragma(connection, "PRAGMA auto_vacuum")? != 2 {
        return Ok(0);
    }
    pragma(connection, "PRAGMA freelist_count")
}

fn pragma(connection: &Connection, sql: &str) -> Result<u64> {
    let number = connection.first(sql, [], |row| row.get::<_, u32>(0))?;
    Ok(number.map_or(0, u64::from))
}
