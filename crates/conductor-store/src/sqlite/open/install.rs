//! Our tables as guests in a database of the caller's own.
//!
//! There is only a connection, and everything but our tables is the caller's: no views are made, and neither the journal
//! mode nor the vacuuming changes. What is to be done is one transaction, so that SQLite's own lock is all that several
//! installers need.

use super::error::OpenError;
use super::history::{self, History, MigrateError};
use super::inspect::{self, Schema};
use super::options::at_most;
use super::{SqliteOptions, check_library, configured, connect, place};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};

/// An empty table that tells a database of the caller's from a file of our own: ours gets views, and a layout.
const MARK: &str = "conductor_guest";

/// What the names of all our tables and indexes begin with.
const PREFIX: &str = "conductor_";

/// Puts our tables into a database of the caller's own, or brings those up to date that an earlier version put there.
///
/// The database then holds tables `conductor_…`, one of them the history of our migrations, and nothing else of ours:
/// no views, so that the names `runs`, `tasks` and `events` stay the caller's. All names that begin with `conductor_`
/// are kept for us. Everything is one transaction, and a database that needs nothing is not written to; any number of
/// processes may do this at once, each at every start.
///
/// A run is then submitted in the caller's transaction by [`submit_in`](crate::sqlite::submit_in), and carried out on a
/// store that [`SqliteStore::open_embedded`](crate::SqliteStore::open_embedded) opens. That needs WAL mode, which the
/// caller turns on, once; installing needs no setting and changes none.
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
/// [`OpenError`], and nothing was written: among others [`OpenError::Taken`], [`OpenError::Newer`],
/// [`OpenError::ReadOnly`], [`OpenError::InTransaction`]; [`OpenError::Busy`] when another program holds the database
/// for longer than the connection's busy timeout.
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

/// The connection that writes to a database into which we were installed.
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

/// How our tables stand in a database of the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guest {
    Absent,
    /// They have seen the first so many migrations, and not all.
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
        // Somebody else's table of that name.
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

/// Whether a name is one of those that are kept for us; SQLite does not tell the cases apart.
fn is_ours(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}
