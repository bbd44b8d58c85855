//! Engines on a database of the user: they run tasks that the user submitted in a transaction of theirs.

use crate::support::fixture::settle;
use crate::support::waiting::{TIME_LIMIT, receive};
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

/// A database of the user. Its tables have the names of the views of the store.
struct HostApp {
    folder: TempDir,
    connection: Connection,
}

impl HostApp {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = Connection::open(folder.path().join("app.db")).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.busy_timeout(TIME_LIMIT).unwrap();
        let tables = "CREATE TABLE orders (item TEXT, sent INTEGER);
            CREATE TABLE runs (a); CREATE TABLE tasks (b); CREATE TABLE events (c);";
        connection.execute_batch(tables).unwrap();
        install_into(&mut connection).unwrap();
        Self { folder, connection }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    fn store(&self) -> Arc<SqliteStore> {
        Arc::new(SqliteStore::open_embedded(self.path()).unwrap())
    }

    /// Writes an order and submits the run that sends it, in one transaction.
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
    let mut app = HostApp::open();
    let store = app.store();
    let engines: Vec<_> = (0..2)
        .map(|_| {
            let path = app.path();
            let send = move |item: String, context: Context| -> Result<(), TaskError> {
                if context.attempt() == 1 && context.index() == 2 {
                    return Err(TaskError::retry("first attempt"));
                }
                let own = Connection::open(&path)?;
                own.busy_timeout(TIME_LIMIT)?;
                own.execute("UPDATE orders SET sent = 1 WHERE item = ?1", [item])?;
                Ok(())
            };
            let engine = Engine::builder(app.store()).handler("send", send).build().unwrap();
            engine.start();
            engine
        })
        .collect();
    let runs: Vec<_> = (0..10).map(|number| app.order(&format!("item {number}"), true)).collect();
    for run in runs {
        let settled = settle(&engines[0], run);
        assert_eq!((settled.state, settled.state_counts.succeeded), (State::Succeeded, 4));
    }
    drop(engines);
    assert_eq!(app.count("SELECT count(*) FROM orders WHERE sent"), 10);
    assert_replays(&*store);
    // These names belong to the tables of the user.
    for table in ["runs", "tasks", "events"] {
        assert_eq!(app.count(&format!("SELECT count(*) FROM {table}")), 0);
    }
}

#[test]
fn engine_notices_commits_and_ignores_rollbacks() {
    let mut app = HostApp::open();
    let (started, starts) = mpsc::channel();
    let send = move |item: String, _: Context| -> Result<(), TaskError> {
        started.send(item)?;
        Ok(())
    };
    let engine = Engine::builder(app.store()).handler("send", send).build().unwrap();
    engine.start();
    thread::sleep(Duration::from_millis(200));
    app.order("gold", false);
    let run = app.order("tea", true);
    for _ in 0..3 {
        assert_eq!(receive(&starts), "tea");
    }
    settle(&engine, run);
    drop(engine);
    assert!(starts.try_recv().is_err());
    assert_eq!(app.store().state_counts(Scope::All).unwrap().total(), 4);
}

#[test]
fn engine_leaves_no_file_beside_database() {
    let mut app = HostApp::open();
    let run = app.order("tea", true);
    let engine = Engine::builder(app.store()).handler("send", |_: String, _| Ok(())).build().unwrap();
    settle(&engine, run);
    drop(engine);
    let HostApp { folder, connection } = app;
    drop(connection);
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["app.db"]);
}
