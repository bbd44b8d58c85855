//! Sets up a standalone file, step by step.
//!
//! A file that needs no step is opened without a write, under a shared lock. For all others, opening is a loop under an
//! exclusive lock: [`inspect`] returns the next setup step, the step is executed, and the file is inspected again.

use super::connect::{configure, connect};
use super::inspect::{SetupStep, inspect};
use super::lock_file::LockFile;
use super::{OpenError, SqliteOptions, import, layout, migrations, path as paths, views};
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// Opens the connection that writes to a file. Creates the file if it does not exist.
pub(super) fn open(path: &Path, options: &SqliteOptions) -> Result<Connection, OpenError> {
    if let Some(connection) = open_ready(path, options)? {
        return Ok(connection);
    }
    let _lock = LockFile::exclusive(path, options.setup_timeout)?;
    paths::create(path)?;
    let mut connection = connect(path, options)?;
    let mut previous_step = None;
    loop {
        let step = next_step(path, &mut connection, |_| Ok(()))?;
        if step == SetupStep::Done {
            return configure(path, connection, options);
        }
        if previous_step.as_ref() == Some(&step) {
            let what = format!("the setup step {step:?} had no effect");
            return Err(OpenError::Corrupt { path: path.into(), what });
        }
        execute(path, &mut connection, options, &step)?;
        previous_step = Some(step);
    }
}

/// Opens a database in memory.
pub(super) fn open_in_memory() -> Result<Connection, OpenError> {
    let (path, options) = (Path::new(":memory:"), SqliteOptions::default());
    let sqlite = |error| OpenError::of_sqlite(path, error);
    let mut connection = Connection::open_in_memory().map_err(sqlite)?;
    execute(path, &mut connection, &options, &SetupStep::Migrate)?;
    views::create(&mut connection, &views::ALL).map_err(sqlite)?;
    configure(path, connection, &options)
}

/// Opens a file that needs no setup; `None` if it needs a step. A file that is rejected is rejected here, before anything
/// is written, the lock file included.
pub(super) fn open_ready(path: &Path, options: &SqliteOptions) -> Result<Option<Connection>, OpenError> {
    if !paths::has_content(path)? {
        return Ok(None);
    }
    let _lock = LockFile::shared(path, options.setup_timeout)?;
    let mut connection = connect(path, options)?;
    // In the same transaction, because another process may begin to import the file at any moment.
    let step = next_step(path, &mut connection, |legacy| import::check(path, legacy))?;
    if step == SetupStep::Done { configure(path, connection, options).map(Some) } else { Ok(None) }
}

/// Returns the next setup step of a file. `check` gets a file of the TypeScript version.
pub(super) fn next_step(
    path: &Path,
    connection: &mut Connection,
    check: impl FnOnce(&Connection) -> Result<(), OpenError>,
) -> Result<SetupStep, OpenError> {
    let snapshot = connection.transaction().map_err(|error| OpenError::of_sqlite(path, error))?;
    let step = inspect(path, &snapshot)?;
    if step == SetupStep::Rename {
        check(&snapshot)?;
    }
    Ok(step)
}

/// Executes a setup step. Each takes effect completely or not at all.
pub(super) fn execute(
    path: &Path,
    connection: &mut Connection,
    options: &SqliteOptions,
    step: &SetupStep,
) -> Result<(), OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    // Until WAL mode is on, a lost entry of the folder could bring the rollback journal back.
    connection.pragma_update(None, "synchronous", "EXTRA").map_err(sqlite)?;
    match step {
        SetupStep::Rename => import::rename_tables(path, connection),
        SetupStep::SetLayout => layout::set_layout(path, connection, options.supported_busy_timeout()),
        SetupStep::Migrate => {
            connection.set_transaction_behavior(TransactionBehavior::Immediate);
            let migrated = migrations::migrate(path, connection);
            connection.set_transaction_behavior(TransactionBehavior::Deferred);
            migrated
        }
        SetupStep::CopyRows => import::copy_rows(path, connection),
        SetupStep::CreateViews(views) => views::create(connection, views).map_err(sqlite),
        SetupStep::Done => Ok(()),
    }
}
