//! A user's own database, with tables whose names are those of our views, under the user's own migrations.

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

/// What everything in a database says of itself.
const SCHEMA: &str = "SELECT group_concat(type || ' ' || name || ' ' || coalesce(sql, ''), ';' ORDER BY name) \
    FROM sqlite_schema WHERE name LIKE 'conductor%' AND name <> 'conductor_guest'";

pub(crate) struct Shop(TempDir);

impl Shop {
    /// An empty folder.
    pub(crate) fn closed() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// In WAL mode, with the user's tables and ours.
    pub(crate) fn open() -> Self {
        let shop = Self::closed();
        let mut connection = shop.connect();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        migrate(&mut connection, 1);
        install_into(&mut connection).unwrap();
        shop
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("shop.db")
    }

    /// A connection of the user's.
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

    /// The bytes of the database, while it is closed.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// How our tables were made, and by which migrations.
    pub(crate) fn our_schema(&self) -> (String, String) {
        let history = "SELECT group_concat(version || name || checksum, ';' ORDER BY version) \
            FROM conductor_migrations";
        (self.ask(SCHEMA), self.ask(history))
    }

    /// How many orders and how many runs there are.
    pub(crate) fn orders_and_runs(&self) -> (i64, i64) {
        (self.ask("SELECT count(*) FROM orders"), self.ask("SELECT count(*) FROM conductor_runs"))
    }
}

/// Brings the user's tables to that version, as the user does it.
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

/// A run with a leaf that has a kind of its own, and with a parent.
pub(crate) fn delivery(item: &str) -> Submit {
    let pack = TaskDraft::new("pack").kind(format!("pack {item}")).input(item);
    let send = TaskDraft::new("send").fan_out([item, item]);
    let run = RunDraft::new().idempotency_key(item).meta(1).tasks([pack, send]);
    Submit::new(run.validate().unwrap(), &Environment::system())
}
