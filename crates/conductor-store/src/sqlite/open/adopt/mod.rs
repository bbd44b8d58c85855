//! Adopts a file of the original: reads all of it, decides what follows from its rows, carries them over.
//!
//! [`survey`] reads and checks, [`tree`] puts the tasks into their places, [`fate`] decides the states, and [`carry`]
//! writes. The first three only read. They run before the tables are renamed, so that a rejected file is not changed.
//! They run again when the rows are copied.

mod carry;
mod fate;
mod survey;
mod tree;

use super::OpenError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// The tables of the original.
pub(super) const ORIGINAL: [&str; 3] = ["runs", "tasks", "events"];
/// The same, once they have made room for ours.
pub(super) const RENAMED: [&str; 3] =
    ["conductor_original_runs", "conductor_original_tasks", "conductor_original_events"];
/// Tables in which a migration runner keeps its own books: left where they are.
pub(super) const BOOKKEEPING: [&str; 3] = ["migrations", "_migrations", "schema_migrations"];

/// The columns of each table; those of the third migration may be missing.
const COLUMNS: [&[&str]; 3] = [
    &["id", "created_at", "updated_at", "state", "meta"],
    &["id", "run_id", "parent_task_id", "name", "state", "created_at", "updated_at", "input", "output"],
    &["id", "run_id", "task_id", "name", "at", "payload"],
];
const RETRY_COLUMNS: [(&str, &str); 3] = [("retry_count", "0"), ("max_retries", "3"), ("last_error", "NULL")];

/// How many problems an error shows.
const SHOWN: usize = 20;

/// What is wrong with a file: the first of it in words, the rest in number.
#[derive(Debug, Default)]
struct Problems {
    shown: Vec<String>,
    more: usize,
}

impl Problems {
    fn add(&mut self, problem: String) {
        if self.shown.len() < SHOWN {
            self.shown.push(problem);
        } else {
            self.more += 1;
        }
    }

    fn are_none(&self) -> bool {
        self.shown.is_empty()
    }

    fn refuse_any(self, path: &Path) -> Result<(), OpenError> {
        if self.are_none() {
            return Ok(());
        }
        Err(OpenError::LegacyDataInvalid { path: path.into(), problems: self.shown, more: self.more })
    }
}

/// Columns that the original's tables lack, or that they should not have: `tasks.owner`.
pub(super) fn foreign_columns(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut foreign = Vec::new();
    for (table, expected) in ORIGINAL.into_iter().zip(COLUMNS) {
        let found = columns(connection, table)?;
        let missing = expected.iter().filter(|name| !found.iter().any(|column| column == *name));
        foreign.extend(missing.map(|name| format!("{table} without {name}")));
        let late = |name: &str| table == "tasks" && RETRY_COLUMNS.iter().any(|(retry, _)| *retry == name);
        let other = found.iter().filter(|name| !expected.contains(&name.as_str()) && !late(name));
        foreign.extend(other.map(|name| format!("{table}.{name}")));
    }
    Ok(foreign)
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_xinfo(?1)")?;
    let names = statement.query_map([table], |row| row.get(0))?;
    names.collect()
}

/// Whether everything in the original's tables can be carried over.
pub(super) fn check(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    plan(path, connection, ORIGINAL).map(drop)
}

/// Checks the original's tables and makes room for ours, in one transaction, so that no other process writes in between.
pub(super) fn rename(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    check(path, &tx)?;
    for (from, to) in ORIGINAL.into_iter().zip(RENAMED) {
        tx.execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}")).map_err(sqlite)?;
    }
    tx.commit().map_err(sqlite)
}

/// Carries the rows over and drops the original's tables, in one transaction.
pub(super) fn carry_over(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let sqlite = |error| OpenError::of_sqlite(path, error);
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    let plan = plan(path, &tx, RENAMED)?;
    carry::carry(&tx, &plan).map_err(|fault| OpenError::of_fault(path, fault))?;
    // Referencing tables first, in case another program added a foreign key.
    for table in RENAMED.into_iter().rev() {
        tx.execute_batch(&format!("DROP TABLE {table}")).map_err(sqlite)?;
    }
    tx.commit().map_err(sqlite)?;
    // If the pages of the old tables cannot go back to the system, they will be used for new rows.
    let _ = shrink(connection);
    Ok(())
}

fn shrink(connection: &Connection) -> rusqlite::Result<()> {
    // One page per row of the answer, so all of it has to be read.
    let mut statement = connection.prepare("PRAGMA incremental_vacuum")?;
    let mut pages = statement.query([])?;
    while pages.next()?.is_some() {}
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
}

/// What is to be written.
struct Plan {
    old: survey::Old,
    tree: tree::Tree,
    fates: fate::Fates,
}

fn plan(path: &Path, connection: &Connection, tables: [&str; 3]) -> Result<Plan, OpenError> {
    let mut problems = Problems::default();
    let old = survey::survey(connection, tables, &mut problems)
        .map_err(|error| OpenError::of_sqlite(path, error))?;
    let tree = tree::Tree::of(&old, &mut problems);
    let fates = fate::Fates::of(&old, &tree, &mut problems);
    problems.refuse_any(path)?;
    Ok(Plan { old, tree, fates })
}
