//! Imports a database of the TypeScript version.
//!
//! [`read`] reads and checks the rows, [`ops::import`](crate::ops::import) decides how they continue, and [`copy`] writes
//! them with the help of [`rows`]. Everything except the copy only reads. It runs before the tables are renamed, so that a rejected file is not
//! changed, and again when the rows are copied.

mod copy;
mod read;
mod rows;
pub(super) mod tables;

use super::error::OpenError;
use crate::ops::import::{ImportPlan, Problems};
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;
use tables::{LEGACY, RENAMED};

/// Reads the rows of these tables, and plans how they continue.
fn plan(path: &Path, connection: &Connection, tables: [&str; 3]) -> Result<ImportPlan, OpenError> {
    let mut problems = Problems::default();
    let rows =
        read::read(connection, tables, &mut problems).map_err(|error| OpenError::of_sqlite(path, error))?;
    let plan = ImportPlan::new(rows, &mut problems);
    if problems.is_empty() {
        return Ok(plan);
    }
    let Problems { shown, more } = problems;
    Err(OpenError::LegacyDataInvalid { path: path.into(), problems: shown, more })
}

/// Checks that all rows can be imported.
pub(super) fn check(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    plan(path, connection, LEGACY).map(drop)
}

/// Checks the tables and renames them, in one transaction, so that no other process writes in between.
pub(super) fn rename_tables(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    check(path, &tx)?;
    for (from, to) in LEGACY.into_iter().zip(RENAMED) {
        tx.execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}")).map_err(sqlite)?;
    }
    tx.commit().map_err(sqlite)
}

/// Copies the rows and drops the renamed tables, in one transaction.
pub(super) fn copy_rows(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    let plan = plan(path, &tx, RENAMED)?;
    copy::copy(&tx, &plan).map_err(|error| OpenError::of_store(path, error))?;
    // Referencing tables first, in case another program added a foreign key.
    for table in RENAMED.into_iter().rev() {
        tx.execute_batch(&format!("DROP TABLE {table}")).map_err(sqlite)?;
    }
    tx.commit().map_err(sqlite)?;
    // If the pages of the old tables cannot be given back to the system, new rows use them.
    let _ = shrink(connection);
    Ok(())
}

fn shrink(connection: &Connection) -> rusqlite::Result<()> {
    // Each row of the answer gives back one page, so all rows are read.
    let mut statement = connection.prepare("PRAGMA incremental_vacuum")?;
    let mut pages = statement.query([])?;
    while pages.next()?.is_some() {}
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
}
