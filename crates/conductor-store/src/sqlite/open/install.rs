//! Embeds the tables in a database of the caller.
//!
//! Everything except our tables belongs to the caller. So no views are created, and journal mode and vacuum mode stay. The
//! installation is one transaction, so that the lock of SQLite is enough for concurrent installers.

use super::error::OpenError;
use super::history::{self, History, MigrateError};
use super::inspect::{self, Schema};
use super::options::at_most;
use super::{SqliteOptions, check_library, configured, connect, place};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};

/// An empty table that marks a database of the caller. Standalone files do not have it; they get views and a layout.
const MARK: &str = "conductor_guest";

/// The prefix of the names of all our tables and indexes.
const PREFIX: &str = "conductor_";

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

/// Opens the writing connection to a database of the caller.
pub(super) fn open(path: &Path, options: &SqliteOptions) -> Result<Connection, OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    if !place::has_content(path)? {
        return Err(OpenError::NotEmbedded { path: path.into() });
    }
    let mut connection = connect(path, options)?;
    if look(path, &connection.transaction().map_err(sqlite)?)? == Guest::Absent {
        return Err(OpenError::NotEmbedded { path: path.into() });
    }
    let mode = inspect::journal_mode(&connection).map_err(sqlite)?;
    if mode != inspect::WAL {
        return Err(OpenError::NotInWalMode { path: path.into(), mode });
    }
    // As long as for the set-up of a file of our own.
    connection.busy_timeout(at_most(options.setup_timeout)).map_err(sqlite)?;
    bring_up_to_date(path, &mut connection)?;
    connection.busy_timeout(options.patience()).map_err(sqlite)?;
    configured(path, connection, options)
}

/// The state of our tables in a database of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guest {
    Absent,
    /// Only this number of migrations was applied.
    Behind(usize),
    Current,
}

fn bring_up_to_date(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    let begin = TransactionBehavior::Deferred;
    if look(path, &connection.transaction_with_behavior(begin).map_err(sqlite)?)? == Guest::Current {
        return Ok(());
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    // Looked at again: another process may have been faster.
    let applied = match look(path, &tx)? {
        Guest::Absent => {
            tx.execute_batch(&format!("CREATE TABLE {MARK} (empty INTEGER) STRICT")).map_err(sqlite)?;
            0
        }
        Guest::Behind(applied) => applied,
        Guest::Current => return Ok(()),
    };
    history::migrate_inside(&tx, applied).map_err(|error| match error {
        MigrateError::Sqlite(error) => sqlite(error),
        MigrateError::Refinery(error) => OpenError::Migration { path: path.into(), source: error.into() },
    })?;
    tx.commit().map_err(sqlite)
}

/// Looks at a database of the caller's: how our tables stand in it, or why it is refused.
fn look(path: &Path, snapshot: &Transaction<'_>) -> Result<Guest, OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    let found = temporary(snapshot).map_err(sqlite)?;
    if !found.is_empty() {
        return Err(OpenError::ShadowedByTemp { path: path.into(), found });
    }
    let schema = Schema::read(snapshot).map_err(sqlite)?;
    if !is_guest(&schema) {
        refuse_ours(path, snapshot, &schema)?;
        if schema.is(MARK, "table") && schema.is("conductor_runs", "table") {
            let what = format!("its table `{}` is missing", history::TABLE);
            return Err(OpenError::Corrupt { path: path.into(), what });
        }
        return free(path, &schema, is_ours).map(|()| Guest::Absent);
    }
    let applied = inspect::applied(path, snapshot, &schema)?;
    if applied == history::known() {
        return Ok(Guest::Current);
    }
    let before = history::objects_after(applied).map_err(sqlite)?;
    let after = history::objects_after(history::known()).map_err(sqlite)?;
    let is_new = |name: &str| {
        let is = |known: &String| known.eq_ignore_ascii_case(name);
        after.iter().any(is) && !before.iter().any(is)
    };
    free(path, &schema, is_new).map(|()| Guest::Behind(applied))
}

/// Whether our tables are guests there.
pub(super) fn is_guest(schema: &Schema) -> bool {
    schema.is(MARK, "table") && schema.is(history::TABLE, "table")
}

/// Refuses a file of our own.
fn refuse_ours(path: &Path, snapshot: &Connection, schema: &Schema) -> Result<(), OpenError> {
    if !schema.is(history::TABLE, "table") {
        return Ok(());
    }
    match history::read(snapshot).map_err(|error| OpenError::of_sqlite(path, error))? {
        History::Applied(1..) => Err(OpenError::StandaloneDatabase { path: path.into() }),
        History::Newer { found, known } => Err(OpenError::SchemaTooNew { path: path.into(), found, known }),
        // A table of another program with this name.
        History::Applied(0) | History::Divergent(_) => Ok(()),
    }
}

/// Refuses a database in which names that we need are taken.
fn free(path: &Path, schema: &Schema, needed: impl Fn(&str) -> bool) -> Result<(), OpenError> {
    let mut found: Vec<_> = schema.names().filter(|name| needed(name)).map(String::from).collect();
    found.sort();
    if found.is_empty() { Ok(()) } else { Err(OpenError::NamesInUse { path: path.into(), found }) }
}

/// The temporary tables and views of a connection that would be taken for ours: SQLite looks for a name there first.
pub(in crate::sqlite) fn temporary(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement =
        connection.prepare_cached("SELECT name FROM temp.sqlite_schema WHERE type IN ('table', 'view')")?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    names.filter(|name| name.as_deref().map_or(true, is_ours)).collect()
}

/// Returns whether a name is reserved for us. Names in SQLite are case-insensitive.
fn is_ours(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}
