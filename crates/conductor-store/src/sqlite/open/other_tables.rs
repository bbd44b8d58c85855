//! Opens databases with other tables than those of the migrations, until they replace them.

use super::inspect::SetupStep;
use super::lock_file::LockFile;
use super::setup::{execute, next_step, open_ready};
use super::{OpenError, SqliteOptions, connect, import, layout, path as paths};
use crate::ops::import::ImportPlan;
use crate::sqlite::connection::sql::{Result as SqlResult, fault};
use rusqlite::Connection;
use std::path::Path;

/// Opens a database in memory with other tables.
pub(in crate::sqlite) fn memory_with(tables: &str) -> Result<Connection, OpenError> {
    let path = Path::new(":memory:");
    let sqlite = |error| OpenError::of_sqlite(path, error);
    connect::check_library(rusqlite::version_number())?;
    let connection = Connection::open_in_memory().map_err(sqlite)?;
    connection.execute_batch(tables).map_err(sqlite)?;
    connect::configure(path, connection, &SqliteOptions::default())
}

/// Creates a file with other tables.
pub(in crate::sqlite) fn create_with(
    path: &Path,
    options: &SqliteOptions,
    tables: &str,
) -> Result<Connection, OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    connect::check_library(rusqlite::version_number())?;
    paths::create(path)?;
    let connection = connect::connect(path, options)?;
    layout::set_layout(path, &connection, options.supported_busy_timeout())?;
    connection.execute_batch(&format!("BEGIN; {tables} COMMIT;")).map_err(sqlite)?;
    connect::configure(path, connection, options)
}

/// Opens a file of the TypeScript version with other tables, into which `copy` copies its rows.
///
/// The steps are those of [`setup`](super::setup), except that the tables are created in the transaction that copies.
pub(in crate::sqlite) fn import_with(
    path: &Path,
    options: &SqliteOptions,
    tables: &str,
    copy: impl FnOnce(&Connection, &ImportPlan) -> SqlResult<()>,
) -> Result<Connection, OpenError> {
    connect::check_library(rusqlite::version_number())?;
    let other = || {
        let what = "it is not a file of the TypeScript version".into();
        OpenError::Corrupt { path: path.into(), what }
    };
    if !paths::has_content(path)? || open_ready(path, options)?.is_some() {
        return Err(other());
    }
    let _lock = LockFile::exclusive(path, options.setup_timeout)?;
    let mut connection = connect::connect(path, options)?;
    let mut previous_step = None;
    loop {
        let step = next_step(path, &mut connection, |_| Ok(()))?;
        match step {
            SetupStep::Migrate => break,
            SetupStep::Rename | SetupStep::SetLayout if previous_step.as_ref() != Some(&step) => {
                execute(path, &mut connection, options, &step)?;
            }
            _ => return Err(other()),
        }
        previous_step = Some(step);
    }
    import::copy_rows_with(path, &mut connection, |tx, plan| {
        tx.execute_batch(tables).map_err(fault)?;
        copy(tx, plan)
    })?;
    connect::configure(path, connection, options)
}
