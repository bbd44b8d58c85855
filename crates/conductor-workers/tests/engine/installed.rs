//! Engines on a database of the user's own: what was submitted in the user's transaction is carried out.

use crate::desk::{LONG, next, settle};
use conductor_conformance::assert_replays;
use conductor_model::{RunDraft, RunId, State, TaskDraft};
use conductor_store::sqlite::rusqlite::{Connection, TransactionBehavior};
use conductor_store::sqlite::{install_into, submit_in};
use conductor_store::{Environment, Query, Scope, SqliteStore, Submit};
use conductor_workers::{Context, Engine, TaskError};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// A user's database, with tables that have the names of our views.
struct Shop {
    folder: TempDir,
    connection: Connection,
}

impl Shop {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = Connection::open(folder.path().join("shop.db")).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.busy_timeout(LONG).unwrap();
        let tables = "CREATE TABLE orders (item TEXT, sent INTEGER);
            CREATE TABLE runs (a); CREATE TABLE tasks (b); CREATE TABLE events (c);";
        connection.execute_batch(tables).unwrap();
        install_into(&mut connection).unwrap();
        Self { folder, connection }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("shop.db")
    }

    fn store(&self) -> Arc<SqliteStore> {
        Arc::new(SqliteStore::open_embedded(self.path()).unwrap())
    }

    /// Writes an order and submits what sends it, in one transaction.
    fn order(&mut self, item: &str, commits: bool) -> RunId {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        tx.execute("INSERT INTO orders (item) VALUES (?1)", [item]).unwrap();
        let send = TaskDraft::new("send").fan_out([item, item, item]);
        let run = RunDraft::new().task(send).validate().unwrap();
        let run = submit_in(&tx, &Submit::new(run, &Environment::system())).unwrap().run;
        if commits { tx.commit() } else { tx.rollback() }.unwrap();
        run
    }

    fn count(&self, sql: &str) -> i64 {
        self.connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

#[test]
fn tasks_of_user_transaction_run_on_every_engine() {
    let mut shop = Shop::open();
    let store = shop.store();
    let engines: Vec<_> = (0..2)
        .map(|_| {
            let path = shop.path();
            let send = move |item: String, context: Context| -> Result<(), TaskError> {
                if context.attempt() == 1 && context.index() == 2 {
                    return Err(TaskError::retry("nobody is at home"));
                }
                let own = Connection::open(&path)?;
                own.busy_timeout(LONG)?;
                own.execute("UPDATE orders SET sent = 1 WHERE item = ?1", [item])?;
                Ok(())
            };
            let engine = Engine::builder(shop.store()).handler("send", send).build().unwrap();
            engine.start();
            engine
        })
        .collect();
    let runs: Vec<_> = (0..10).map(|nth| shop.order(&format!("item {nth}"), true)).collect();
    for run in runs {
        let settled = settle(&engines[0], run);
        assert_eq!((settled.state, settled.state_counts.succeeded), (State::Succeeded, 4));
    }
    drop(engines);
    assert_eq!(shop.count("SELECT count(*) FROM orders WHERE sent"), 10);
    assert_replays(&*store);
    // The names of our views are the user's.
    for table in ["runs", "tasks", "events"] {
        assert_eq!(shop.count(&format!("SELECT count(*) FROM {table}")), 0);
    }
}

#[test]
fn engine_notices_commits_and_ignores_rollbacks() {
    let mut shop = Shop::open();
    let (began, told) = mpsc::channel();
    let send = move |item: String, _: Context| -> Result<(), TaskError> {
        began.send(item)?;
        Ok(())
    };
    let engine = Engine::builder(shop.store()).handler("send", send).build().unwrap();
    engine.start();
    thread::sleep(Duration::from_millis(200));
    shop.order("gold", false);
    let run = shop.order("tea", true);
    for _ in 0..3 {
        assert_eq!(next(&told), "tea");
    }
    settle(&engine, run);
    drop(engine);
    assert!(told.try_recv().is_err());
    assert_eq!(shop.store().state_counts(Scope::All).unwrap().total(), 4);
}

#[test]
fn engine_leaves_no_file_beside_database() {
    let mut shop = Shop::open();
    let run = shop.order("tea", true);
    let engine = Engine::builder(shop.store()).handler("send", |_: String, _| Ok(())).build().unwrap();
    settle(&engine, run);
    drop(engine);
    let Shop { folder, connection } = shop;
    drop(connection);
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["shop.db"]);
}
