//! The tables, views and indexes of a database, and the names that are reserved for Origin Conductor.

use super::migrations;
use rusqlite::Connection;
use std::collections::HashMap;

/// An empty table that marks a database of the caller. Standalone files do not have it; they get views and a layout.
pub(super) const EMBEDDED_TABLE: &str = "conductor_guest";

/// The prefix of the names of all our tables and indexes.
const PREFIX: &str = "conductor_";

/// The type and the SQL of every table, view and index, by name.
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

    pub(super) fn has_table(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|object| object.kind == "table")
    }

    pub(super) fn has_tables(&self, names: [&str; 3]) -> bool {
        names.iter().all(|name| self.has_table(name))
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The statement that created an object.
    pub(super) fn sql(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.sql.as_deref()
    }

    /// The names with a property, sorted.
    pub(super) fn names(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
        sorted(self.0.keys().filter(|name| is_wanted(name)))
    }

    /// The names of all objects except indexes and these tables, sorted.
    pub(super) fn others(&self, tables: &[&str]) -> Vec<String> {
        let is_known = |name: &str, object: &Object| {
            object.kind == "index" || object.kind == "table" && tables.contains(&name)
        };
        sorted(self.0.iter().filter(|(name, object)| !is_known(name, object)).map(|(name, _)| name))
    }

    /// Whether our tables are embedded in a database of the caller.
    pub(super) fn is_embedded(&self) -> bool {
        self.has_table(EMBEDDED_TABLE) && self.has_table(migrations::TABLE)
    }
}

fn sorted<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut names: Vec<_> = names.cloned().collect();
    names.sort();
    names
}

/// The temporary tables and views of a connection that hide our tables: SQLite searches for a name there first.
pub(crate) fn shadowing_temp_tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement =
        connection.prepare_cached("SELECT name FROM temp.sqlite_schema WHERE type IN ('table', 'view')")?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    names.filter(|name| name.as_deref().map_or(true, is_reserved)).collect()
}

/// Whether a name is reserved for us. Names in SQLite are case-insensitive.
pub(super) fn is_reserved(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}
