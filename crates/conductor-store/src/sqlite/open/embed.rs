//! Embeds the tables in a database of the caller.
//!
//! Everything except our tables belongs to the caller. So no views are created, and journal mode and vacuum mode stay. The
//! installation is one transaction, so that the lock of SQLite is enough for concurrent installers.

use super::connect::{check_library, configure, connect};
use super::inspect::applied_migrations;
use super::layout::{WAL, journal_mode};
use super::migrations::{self, History};
use super::options::supported;
use super::schema::{EMBEDDED_TABLE, Schema, is_reserved, shadowing_temp_tables};
use super::{OpenError, SqliteOptions, path as paths};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};

/// Creates the tables of Origin Conductor in a database of the caller, or migrates the tables of an earlier version.
///
/// All created tables and indexes have names that start with `conductor_`. This prefix is reserved for Origin Conductor. No
/// views are created, so that the caller may use the names `runs`, `tasks` and `events`. The installation is one
/// transaction. It writes nothing if the tables are up to date. Any number of processes may call it at each start.
///
/// Afterwards, [`submit_in`](crate::sqlite::submit_in) submits a run in a transaction of the caller, and
/// [`SqliteStore::open_embedded`](crate::SqliteStore::open_embedded) opens the store that executes it. The store needs WAL
/// mode, which the caller sets once. The installation needs no setting and changes none.
///
/// ```
/// use conductor_store::sqlite::{install_into, rusqlite::Connection};
/// use conductor_store::SqliteStore;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("shop.db");
/// let mut connection = Connection::open(&path)?;
/// connection.pragma_update(None, "journal_mode", "WAL")?;
/// connection.execute_batch("CREATE TABLE events (what TEXT)")?;
/// install_into(&mut connection)?;
///
/// let store = SqliteStore::open_embedded(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`OpenError`]; nothing was written. Examples: [`OpenError::NamesInUse`], [`OpenError::SchemaTooNew`],
/// [`OpenError::ReadOnly`], [`OpenError::InTransaction`]. [`OpenError::Busy`] means that another program locked the database
/// for longer than the busy timeout of the connection.
pub fn install_into(connection: &mut Connection) -> Result<(), OpenError> {
    check_library(rusqlite::version_number())?;
    let path = connection.path().filter(|path| !path.is_empty()).unwrap_or(":memory:");
    let path = PathBuf::from(path);
    if !connection.is_autocommit() {
        return Err(OpenError::InTransaction { path });
    }
    if connection.is_readonly("main").map_err(|error| OpenError::of_sqlite(&path, error))? {
        return Err(OpenError::ReadOnly { path, source: None });
    }
    bring_up_to_date(&path, connection)
}

/// Opens the connection that writes to a database of the caller.
pub(super) fn open(path: &Path, options: &SqliteOptions) -> Result<Connection, OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    if !paths::has_content(path)? {
        return Err(OpenError::NotEmbedded { path: path.into() });
    }
    let mut connection = connect(path, options)?;
    if state(path, &connection.transaction().map_err(sqlite)?)? == EmbedState::Absent {
        return Err(OpenError::NotEmbedded { path: path.into() });
    }
    let mode = journal_mode(&connection).map_err(sqlite)?;
    if mode != WAL {
        return Err(OpenError::NotInWalMode { path: path.into(), mode });
    }
    // As long as for the setup of a standalone file.
    connection.busy_timeout(supported(options.setup_timeout)).map_err(sqlite)?;
    bring_up_to_date(path, &mut connection)?;
    connection.busy_timeout(options.supported_busy_timeout()).map_err(sqlite)?;
    configure(path, connection, options)
}

/// The state of our tables in a database of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EmbedState {
    Absent,
    /// Only this number of migrations was applied.
    Outdated(usize),
    Current,
}

fn bring_up_to_date(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    let begin = TransactionBehavior::Deferred;
    if state(path, &connection.transaction_with_behavior(begin).map_err(sqlite)?)? == EmbedState::Current {
        return Ok(());
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    // Another process may have been faster.
    let applied = match state(path, &tx)? {
        EmbedState::Absent => {
            let sql = format!("CREATE TABLE {EMBEDDED_TABLE} (empty INTEGER) STRICT");
            tx.execute_batch(&sql).map_err(sqlite)?;
            0
        }
        EmbedState::Outdated(applied) => applied,
        EmbedState::Current => return Ok(()),
    };
    migrations::migrate_in(path, &tx, applied)?;
    tx.commit().map_err(sqlite)
}

/// Returns the state of our tables in a database of the caller, or why the database is rejected.
fn state(path: &Path, snapshot: &Transaction<'_>) -> Result<EmbedState, OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    let found = shadowing_temp_tables(snapshot).map_err(sqlite)?;
    if !found.is_empty() {
        return Err(OpenError::ShadowedByTemp { path: path.into(), found });
    }
    let schema = Schema::read(snapshot).map_err(sqlite)?;
    if !schema.is_embedded() {
        reject_standalone(path, snapshot, &schema)?;
        if schema.has_table(EMBEDDED_TABLE) && schema.has_table("conductor_runs") {
            let what = format!("its table `{}` is missing", migrations::TABLE);
            return Err(OpenError::Corrupt { path: path.into(), what });
        }
        return reject_names_in_use(path, &schema, is_reserved).map(|()| EmbedState::Absent);
    }
    let applied = applied_migrations(path, snapshot, &schema)?;
    if applied == migrations::count() {
        return Ok(EmbedState::Current);
    }
    let before = migrations::objects_after(applied).map_err(sqlite)?;
    let after = migrations::objects_after(migrations::count()).map_err(sqlite)?;
    let is_new = |name: &str| {
        let is = |known: &String| known.eq_ignore_ascii_case(name);
        after.iter().any(is) && !before.iter().any(is)
    };
    reject_names_in_use(path, &schema, is_new).map(|()| EmbedState::Outdated(applied))
}

/// Rejects a standalone file.
fn reject_standalone(path: &Path, snapshot: &Connection, schema: &Schema) -> Result<(), OpenError> {
    if !schema.has_table(migrations::TABLE) {
        return Ok(());
    }
    match migrations::read(snapshot).map_err(|error| OpenError::of_sqlite(path, error))? {
        History::Applied(1..) => Err(OpenError::StandaloneDatabase { path: path.into() }),
        History::Newer { found, known } => Err(OpenError::SchemaTooNew { path: path.into(), found, known }),
        // A table of another program with this name.
        History::Applied(0) | History::Divergent(_) => Ok(()),
    }
}

/// Rejects a database in which names that we need are in use.
fn reject_names_in_use(
    path: &Path,
    schema: &Schema,
    is_needed: impl Fn(&str) -> bool,
) -> Result<(), OpenError> {
    let found = schema.names(is_needed);
    if found.is_empty() { Ok(()) } else { Err(OpenError::NamesInUse { path: path.into(), found }) }
}
