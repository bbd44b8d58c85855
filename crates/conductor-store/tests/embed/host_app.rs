//! The database of a host application. Its tables have the names of the views of the store, and its own migrations.

use conductor_model::{RunDraft, TaskDraft};
use conductor_store::sqlite::install_into;
use conductor_store::{Environment, SqliteStore, Submit};
use refinery::{Migration, Runner};
use rusqlite::types::FromSql;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::PathBuf;
use tempfile::TempDir;

const TABLES: &str = "CREATE TABLE orders (key INTEGER PRIMARY KEY, item TEXT NOT NULL UNIQUE);
    CREATE TABLE runs (distance REAL);
    CREATE TABLE tasks (what TEXT);
    CREATE VIEW events AS SELECT what FROM tasks;
    INSERT INTO tasks VALUES ('sweep the floor');";
const LATER: &str = "ALTER TABLE orders ADD COLUMN paid INTEGER";

/// Reads the definitions of all objects of the store.
const SCHEMA: &str = "SELECT group_concat(type || ' ' || name || ' ' || coalesce(sql, ''), ';' ORDER BY name) \
    FROM sqlite_schema WHERE name LIKE 'conductor%' AND name <> 'conductor_guest'";

/// A temporary folder for the database of a host application.
pub(crate) struct HostApp(TempDir);

impl HostApp {
    /// Creates an empty folder.
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Creates a database in WAL mode, with the tables of the host and of the store.
    pub(crate) fn installed() -> Self {
        let host = Self::empty();
        let mut connection = host.connect();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        migrate(&mut connection, 1);
        install_into(&mut connection).unwrap();
        host
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("host.db")
    }

    /// Opens a connection of the host.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    pub(crate) fn store(&self) -> SqliteStore {
        SqliteStore::open_embedded(self.path()).unwrap()
    }

    pub(crate) fn run(&self, sql: &str) {
        self.connect().execute_batch(sql).unwrap();
    }

    pub(crate) fn ask<T: FromSql>(&self, sql: &str) -> T {
        ask(&self.connect(), sql)
    }

    /// Reads the database, which must be closed.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Reads the definitions and the migrations of the tables of the store.
    pub(crate) fn schema(&self) -> (String, String) {
        let history = "SELECT group_concat(version || name || checksum, ';' ORDER BY version) \
            FROM conductor_migrations";
        (self.ask(SCHEMA), self.ask(history))
    }

    /// Counts the orders and the runs.
    pub(crate) fn orders_and_runs(&self) -> (i64, i64) {
        (self.ask("SELECT count(*) FROM orders"), self.ask("SELECT count(*) FROM conductor_runs"))
    }
}

/// Migrates the tables of the host to this version.
pub(crate) fn migrate(connection: &mut Connection, version: usize) {
    let all = [("V1__tables", TABLES), ("V2__paid", LATER)];
    let all: Vec<_> =
        all[..version].iter().map(|(name, sql)| Migration::unapplied(name, sql).unwrap()).collect();
    Runner::new(&all).run(connection).unwrap();
}

pub(crate) fn ask<T: FromSql>(connection: &Connection, sql: &str) -> T {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

pub(crate) fn begin(connection: &mut Connection) -> Transaction<'_> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap()
}

pub(crate) fn order(tx: &Connection, item: &str) {
    tx.execute("INSERT INTO orders (item) VALUES (?1)", [item]).unwrap();
}

/// A run of a leaf with a kind of its own, and a parent.
pub(crate) fn delivery(item: &str) -> Submit {
    let pack = TaskDraft::new("pack").kind(format!("pack {item}")).input(item);
    let send = TaskDraft::new("send").fan_out([item, item]);
    let run = RunDraft::new().idempotency_key(item).meta(1).tasks([pack, send]);
    Submit::new(run.validate().unwrap(), &Environment::system())
}
