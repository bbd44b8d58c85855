//! What a file is, and what it still needs: read, judged, and nothing written.

use super::history::{self, History};
use super::views::{self, View};
use super::{OpenError, adopt, install};
use rusqlite::{Connection, Transaction};
use std::collections::HashMap;
use std::path::Path;

/// What a file needs next.
///
/// Opening repeats: look, do that, look again. So after a crash, the next open finds the next step in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The original made it: its tables make room for ours.
    Rename,
    /// It has to be laid out: incremental vacuum, and a write-ahead log.
    LayOut,
    /// Migrations are missing.
    Migrate,
    /// The original's rows wait to be carried over.
    CarryOver,
    /// These views are missing, or another version made them.
    MakeViews(Vec<View>),
    /// Nothing: it can be used.
    Nothing,
}

/// What stands in a file: the type and the statement of everything by its name.
pub(super) struct Schema(HashMap<String, Object>);

struct Object {
    kind: String,
    sql: Option<String>,
}

impl Schema {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare(
            "SELECT name, type, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        )?;
        let objects = statement
            .query_map([], |row| Ok((row.get(0)?, Object { kind: row.get(1)?, sql: row.get(2)? })))?;
        objects.collect::<rusqlite::Result<_>>().map(Self)
    }

    pub(super) fn is(&self, name: &str, kind: &str) -> bool {
        self.0.get(name).is_some_and(|object| object.kind == kind)
    }

    fn has_tables(&self, names: [&str; 3]) -> bool {
        names.iter().all(|name| self.is(name, "table"))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What is no index and not one of these tables, in the order of the names.
    fn besides(&self, tables: &[&str]) -> Vec<String> {
        let known = |name: &str, object: &Object| {
            object.kind == "index" || object.kind == "table" && tables.contains(&name)
        };
        let others = self.0.iter().filter(|(name, object)| !known(name, object));
        let mut others: Vec<_> = others.map(|(name, _)| name.clone()).collect();
        others.sort();
        others
    }
}

/// Looks at a file: what it needs next, or why it is refused.
///
/// It takes a transaction, so that its queries and the later ones of the caller see one state of the file.
pub(super) fn inspect(path: &Path, snapshot: &Transaction<'_>) -> Result<Next, OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    let schema = Schema::read(snapshot).map_err(sqlite)?;
    if install::is_guest(&schema) {
        return Err(OpenError::EmbeddedDatabase { path: path.into() });
    }
    if schema.is(history::TABLE, "table") {
        return ours(path, snapshot, &schema);
    }
    if adopt::RENAMED.iter().any(|name| schema.is(name, "table")) {
        return unfinished(path, snapshot, &schema);
    }
    if schema.has_tables(adopt::ORIGINAL) {
        return originals(path, snapshot, &schema);
    }
    if schema.is("conductor_runs", "table") {
        let what = format!("its table `{}` is missing", history::TABLE);
        return Err(OpenError::Corrupt { path: path.into(), what });
    }
    match schema.besides(&[]) {
        nothing if nothing.is_empty() => {
            laid_out(snapshot).map_err(sqlite).map(|yes| after(yes, Next::Migrate))
        }
        found => Err(OpenError::ForeignDatabase { path: path.into(), found }),
    }
}

/// A file whose history says that it is ours.
fn ours(path: &Path, connection: &Connection, schema: &Schema) -> Result<Next, OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    let damaged = |what| Err(OpenError::Corrupt { path: path.into(), what });
    let applied = applied(path, connection, schema)?;
    let views = views::all();
    if let Some(taken) = views.iter().find(|view| schema.is(view.name, "table")) {
        return damaged(format!("a table has the name of the view `{0}`", taken.name));
    }
    if !laid_out(connection).map_err(sqlite)? {
        return Ok(Next::LayOut);
    }
    if applied < history::known() {
        return Ok(Next::Migrate);
    }
    if schema.has_tables(adopt::RENAMED) {
        return Ok(Next::CarryOver);
    }
    let current = |view: &View| schema.0.get(view.name).and_then(|it| it.sql.as_ref()) == Some(&view.sql);
    let stale: Vec<_> = views.iter().filter(|view| !current(view)).cloned().collect();
    Ok(if stale.is_empty() { Next::Nothing } else { Next::MakeViews(stale) })
}

/// How many migrations a file has seen whose history says that it is ours; what they made must be there.
pub(super) fn applied(path: &Path, connection: &Connection, schema: &Schema) -> Result<usize, OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    let damaged = |what| Err(OpenError::Corrupt { path: path.into(), what });
    let applied = match history::read(connection).map_err(sqlite)? {
        History::Applied(applied) => applied,
        History::Newer { found, known } => {
            return Err(OpenError::SchemaTooNew { path: path.into(), found, known });
        }
        History::Divergent(what) => return Err(OpenError::MigrationMismatch { path: path.into(), what }),
    };
    if applied == 0 && schema.is("conductor_runs", "table") {
        return damaged(format!("its table `{}` is empty", history::TABLE));
    }
    let expected = history::objects_after(applied).map_err(sqlite)?;
    if let Some(lost) = expected.iter().find(|name| !schema.0.contains_key(*name)) {
        return damaged(format!("`{lost}` is missing"));
    }
    Ok(applied)
}

/// A file whose adoption was interrupted before it had tables of ours.
fn unfinished(path: &Path, connection: &Connection, schema: &Schema) -> Result<Next, OpenError> {
    let known = [adopt::RENAMED.as_slice(), &adopt::BOOKKEEPING].concat();
    let found = schema.besides(&known);
    if !found.is_empty() || !schema.has_tables(adopt::RENAMED) {
        let what = format!(
            "its import was interrupted, and another program has changed its tables since ({found:?})"
        );
        return Err(OpenError::Corrupt { path: path.into(), what });
    }
    let laid_out = laid_out(connection).map_err(|error| OpenError::of_sqlite(path, error))?;
    Ok(after(laid_out, Next::Migrate))
}

/// A file with the three tables of the original, and nothing that adoption would lose.
fn originals(path: &Path, connection: &Connection, schema: &Schema) -> Result<Next, OpenError> {
    let known = [adopt::ORIGINAL.as_slice(), &adopt::BOOKKEEPING].concat();
    let mut found = schema.besides(&known);
    let columns = adopt::foreign_columns(connection).map_err(|error| OpenError::of_sqlite(path, error))?;
    found.extend(columns);
    if found.is_empty() {
        Ok(Next::Rename)
    } else {
        Err(OpenError::ForeignDatabase { path: path.into(), found })
    }
}

fn after(laid_out: bool, next: Next) -> Next {
    if laid_out { next } else { Next::LayOut }
}

/// Whether the file has the layout that it should have from its first page on.
fn laid_out(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(vacuums_by_increments(connection)? && journal_mode(connection)? == WAL)
}

pub(super) fn vacuums_by_increments(connection: &Connection) -> rusqlite::Result<bool> {
    const INCREMENTAL: i64 = 2;
    connection.pragma_query_value(None, "auto_vacuum", |row| Ok(row.get::<_, i64>(0)? == INCREMENTAL))
}

/// The journal mode of a write-ahead log.
pub(super) const WAL: &str = "wal";

pub(super) fn journal_mode(connection: &Connection) -> rusqlite::Result<String> {
    connection.pragma_query_value(None, "journal_mode", |row| row.get(0))
}
