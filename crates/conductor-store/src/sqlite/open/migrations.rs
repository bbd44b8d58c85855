//! The migrations, and their history in a file.

use super::error::OpenError;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Transaction};
use std::path::Path;
use std::sync::{LazyLock, OnceLock};

mod embedded {
    //! The migrations, embedded.
    refinery::embed_migrations!("migrations");
}

/// The table of the history.
pub(super) const TABLE: &str = "conductor_migrations";

/// How a file's history compares with the migrations of this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum History {
    /// This number of migrations was applied.
    Applied(usize),
    /// A migration was applied that is newer than those of this program.
    Newer { found: i64, known: i64 },
    /// It differs; the text says how.
    Divergent(String),
}

/// Reads and validates the history. refinery itself panics on a row that another program has edited.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<History> {
    let rows = match rows(connection) {
        Ok(rows) => rows,
        // The table has other columns.
        Err(error @ rusqlite::Error::SqlInputError { .. }) => {
            return Ok(History::Divergent(format!(
                "the table `{TABLE}` is not a migration history ({error})"
            )));
        }
        Err(error) => return Err(error),
    };
    Ok(compare(&rows))
}

/// A row; `None` for a value of the wrong type.
type HistoryRow = (Option<i64>, [Option<String>; 3]);

fn rows(connection: &Connection) -> rusqlite::Result<Vec<HistoryRow>> {
    let sql = format!("SELECT version, name, applied_on, checksum FROM {TABLE} ORDER BY version");
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map([], |row| {
        let text = |column| -> rusqlite::Result<_> {
            Ok(match row.get_ref(column)? {
                ValueRef::Text(text) => std::str::from_utf8(text).ok().map(String::from),
                _ => None,
            })
        };
        let version = if let ValueRef::Integer(version) = row.get_ref(0)? { Some(version) } else { None };
        Ok((version, [text(1)?, text(2)?, text(3)?]))
    })?;
    rows.collect()
}

fn compare(rows: &[HistoryRow]) -> History {
    let known = migrations();
    for (i, (version, texts)) in rows.iter().enumerate() {
        let Some(ours) = known.get(i).filter(|ours| Some(i64::from(ours.version())) == *version) else {
            return match version.filter(|version| *version > newest()) {
                Some(found) => History::Newer { found, known: newest() },
                None => History::Divergent("its migrations are unknown to this program".into()),
            };
        };
        let [name, applied_on, checksum] = texts;
        if name.as_deref() != Some(ours.name()) || checksum.as_deref() != Some(&*ours.checksum().to_string())
        {
            return History::Divergent(format!(
                "migration {} differs from the one of this program, as in files that were made before the first release",
                ours.version()
            ));
        }
        if !applied_on.as_deref().is_some_and(is_timestamp) {
            return History::Divergent(format!("migration {} has no date", ours.version()));
        }
    }
    History::Applied(rows.len())
}

/// Whether a text is a time in the format of refinery, which panics on any other.
fn is_timestamp(text: &str) -> bool {
    text.as_bytes().get(10) == Some(&b'T')
        && text.ends_with('Z')
        && text.parse::<conductor_model::Timestamp>().is_ok()
}

/// The migrations that a program knows.
pub(super) struct Known {
    /// In their order.
    migrations: Vec<refinery::Migration>,
    /// The tables and indexes after no migration, after the first, and so on.
    objects: OnceLock<Vec<Vec<String>>>,
}

impl Known {
    pub(super) fn new(mut migrations: Vec<refinery::Migration>) -> Self {
        migrations.sort();
        Self { migrations, objects: OnceLock::new() }
    }
}

#[cfg(test)]
thread_local! {
    /// What a later program knows, while this thread acts as one.
    pub(super) static LATER: std::cell::Cell<Option<&'static Known>> = const { std::cell::Cell::new(None) };
}

fn known() -> &'static Known {
    static OURS: LazyLock<Known> =
        LazyLock::new(|| Known::new(embedded::migrations::runner().get_migrations().clone()));
    #[cfg(test)]
    if let Some(later) = LATER.get() {
        return later;
    }
    &OURS
}

/// All migrations of this program, in their order.
pub(super) fn migrations() -> &'static [refinery::Migration] {
    &known().migrations
}

/// The number of migrations of this program.
pub(super) fn count() -> usize {
    migrations().len()
}

/// The tables and indexes after the first `applied` migrations, which are executed in memory once.
pub(super) fn objects_after(applied: usize) -> rusqlite::Result<&'static [String]> {
    let objects = if let Some(objects) = known().objects.get() {
        objects
    } else {
        let found = objects_by_migration()?;
        known().objects.get_or_init(|| found)
    };
    Ok(objects.get(applied).map_or(&[], Vec::as_slice))
}

fn objects_by_migration() -> rusqlite::Result<Vec<Vec<String>>> {
    let memory = Connection::open_in_memory()?;
    let mut objects = vec![Vec::new()];
    for migration in migrations() {
        memory.execute_batch(migration.sql().unwrap_or_default())?;
        let mut statement =
            memory.prepare("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")?;
        let names = statement.query_map([], |row| row.get(0))?;
        objects.push(names.collect::<rusqlite::Result<_>>()?);
    }
    Ok(objects)
}

/// The version of the newest schema that this program knows.
pub(crate) fn newest() -> i64 {
    migrations().last().map_or(0, |migration| i64::from(migration.version()))
}

/// Runs the migrations after the first `applied` inside a transaction, and writes the history.
///
/// refinery begins transactions of its own. So it writes the history of a database in memory, and its rows are copied.
pub(super) fn migrate_in(path: &Path, tx: &Transaction<'_>, applied: usize) -> Result<(), OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    let mut memory = Connection::open_in_memory().map_err(sqlite)?;
    migrate(path, &mut memory)?;
    copy_history(tx, &memory, applied).map_err(sqlite)
}

fn copy_history(tx: &Transaction<'_>, memory: &Connection, applied: usize) -> rusqlite::Result<()> {
    if applied == 0 {
        let table = format!("SELECT sql FROM sqlite_schema WHERE name = '{TABLE}'");
        tx.execute_batch(&memory.query_row(&table, [], |row| row.get::<_, String>(0))?)?;
    }
    let insert = format!("INSERT INTO {TABLE} (version, name, applied_on, checksum) VALUES (?1, ?2, ?3, ?4)");
    for (migration, (version, [name, applied_on, checksum])) in
        migrations().iter().zip(rows(memory)?).skip(applied)
    {
        tx.execute_batch(migration.sql().unwrap_or_default())?;
        tx.execute(&insert, rusqlite::params![version, name, applied_on, checksum])?;
    }
    Ok(())
}

/// Runs the missing migrations in one transaction.
pub(super) fn migrate(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let mut runner = refinery::Runner::new(migrations()).set_grouped(true);
    runner.set_migration_table_name(TABLE);
    let migrated = runner.run(connection);
    migrated.map(drop).map_err(|error| OpenError::Migration { path: path.into(), source: error.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(version: i64, name: &str, on: &str, checksum: &str) -> HistoryRow {
        (Some(version), [name, on, checksum].map(|text| Some(text.to_owned())))
    }

    #[test]
    fn unreadable_history_is_divergent() {
        let ours = &migrations()[0];
        let (name, checksum) = (ours.name(), ours.checksum().to_string());
        let on = "2026-03-01T12:00:00.123456789Z";
        assert_eq!(compare(&[row(1, name, on, &checksum)]), History::Applied(1));
        assert_eq!(compare(&[]), History::Applied(0));
        let null = (Some(1), [const { None }; 3]);
        for tampered in [
            row(1, name, "yesterday", &checksum),
            row(1, name, "2026-03-01 12:00:00Z", &checksum),
            row(1, name, on, "not a number"),
            row(1, name, on, "18446744073709551616"),
            row(1, "another", on, &checksum),
            row(0, name, on, &checksum),
            (None, row(1, name, on, &checksum).1),
            null,
        ] {
            assert!(
                matches!(compare(std::slice::from_ref(&tampered)), History::Divergent(_)),
                "{tampered:?}"
            );
        }
    }

    #[test]
    fn migrated_objects_are_computed_once() {
        let all = objects_after(count()).unwrap();
        assert!(all.iter().any(|name| name == "conductor_blocks"), "{all:?}");
        assert!(std::ptr::eq(all, objects_after(count()).unwrap()));
        assert!(objects_after(0).unwrap().is_empty());
        assert!(std::ptr::eq(migrations(), migrations()));
    }

    #[test]
    fn version_above_known_is_newer() {
        let ours = &migrations()[0];
        let on = "2026-03-01T12:00:00Z";
        let mut newer = vec![row(1, ours.name(), on, &ours.checksum().to_string())];
        newer.push(row(99, "later", "", ""));
        assert_eq!(compare(&newer), History::Newer { found: 99, known: newest() });
    }
}
