//! A run is submitted in a transaction of the host application.

use crate::host_app::{HostApp, ask, begin, delivery, migrate, order};
use conductor_conformance::assert_replays;
use conductor_model::{RunDraft, TaskDraft, TaskId};
use conductor_store::sqlite::{install_into, rusqlite, submit_in};
use conductor_store::{Environment, Query, SqliteStore, Store, StoreError, Submit, SubmitError, TaskFilter};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};
use std::thread;
use std::time::Duration;

#[test]
fn commit_keeps_order_and_run() {
    let host = HostApp::installed();
    let store = host.store();
    let mut connection = host.connect();
    let tx = begin(&mut connection);
    order(&tx, "tea");
    let submitted = submit_in(&tx, &delivery("tea")).unwrap();
    assert!(submitted.created);
    assert!(store.run(submitted.run).unwrap().is_none(), "the run is visible before the commit");
    tx.commit().unwrap();
    assert_eq!(host.orders_and_runs(), (1, 1));
    // Compare with a submission without a transaction of the host.
    let other = SqliteStore::open_in_memory().unwrap();
    let run = other.submit(&delivery("tea")).unwrap().run;
    let names = |store: &SqliteStore, run| {
        let tasks = store.tasks(run, TaskFilter::default(), None, 10).unwrap().items;
        tasks
            .into_iter()
            .map(|task| (task.name, task.kind, task.child_counts, task.state))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&store, submitted.run), names(&other, run));
    let run = store.run(submitted.run).unwrap().unwrap();
    assert_eq!((run.child_counts.total, run.child_counts.open, run.state_counts.pending), (Some(2), 2, 2));
    assert_replays(&store);
}

#[test]
fn rollback_keeps_neither_order_nor_run() {
    let host = HostApp::installed();
    for rolls_back in [true, false] {
        let mut connection = host.connect();
        let tx = begin(&mut connection);
        order(&tx, "tea");
        submit_in(&tx, &delivery("tea")).unwrap();
        if rolls_back {
            tx.rollback().unwrap();
        } else {
            drop(tx);
        }
        assert_eq!(host.orders_and_runs(), (0, 0));
        assert_eq!(host.ask::<i64>("SELECT count(*) FROM conductor_kinds"), 0);
    }
    // The key of a rolled back run is free.
    let mut connection = host.connect();
    let tx = begin(&mut connection);
    assert!(submit_in(&tx, &delivery("tea")).unwrap().created);
}

#[test]
fn idempotency_key_returns_existing_run() {
    let host = HostApp::installed();
    let mut connection = host.connect();
    let tx = begin(&mut connection);
    let first = submit_in(&tx, &delivery("tea")).unwrap();
    let again = submit_in(&tx, &delivery("tea")).unwrap();
    assert_eq!((first.created, again.created, first.run), (true, false, again.run));
    tx.commit().unwrap();
    assert_eq!(host.store().submit(&delivery("tea")).unwrap(), again);
    let other = RunDraft::new().idempotency_key("tea").task(TaskDraft::new("pour"));
    let tx = begin(&mut connection);
    let conflict =
        submit_in(&tx, &Submit::new(other.validate().unwrap(), &Environment::system())).unwrap_err();
    assert!(matches!(conflict, SubmitError::IdempotencyConflict { run } if run == first.run), "{conflict:?}");
}

#[test]
fn rejected_submission_leaves_transaction_unchanged() {
    let host = HostApp::installed();
    let mut connection = host.connect();
    let taken = TaskId::from_u128(7);
    let with_id = |run: RunDraft| run.task(TaskDraft::new("pack").id(taken));
    let with_id = |run| Submit::new(with_id(run).validate().unwrap(), &Environment::system());
    let tx = begin(&mut connection);
    let run = submit_in(&tx, &with_id(RunDraft::new())).unwrap().run;
    order(&tx, "tea");
    let second = RunDraft::new().task(TaskDraft::new("fetch").kind("new"));
    let error = submit_in(&tx, &with_id(second)).unwrap_err();
    assert!(matches!(error, SubmitError::TaskIdTaken(id) if id == taken), "{error:?}");
    order(&tx, "milk");
    tx.commit().unwrap();
    assert_eq!(host.orders_and_runs(), (2, 1));
    assert_eq!(host.ask::<i64>("SELECT count(*) FROM conductor_kinds WHERE name = 'new'"), 0);
    let store = host.store();
    assert!(store.run(run).unwrap().is_some());
    assert_replays(&store);
}

/// The run and its tasks are written before the event is refused.
#[test]
fn failed_submission_leaves_transaction_unchanged() {
    let host = HostApp::installed();
    let mut connection = host.connect();
    let trigger = "CREATE TRIGGER refuse BEFORE INSERT ON conductor_events \
        BEGIN SELECT RAISE(ABORT, 'no events today'); END";
    connection.execute_batch(trigger).unwrap();
    let tx = begin(&mut connection);
    order(&tx, "tea");
    let run = RunDraft::new().task(TaskDraft::new("pack").kind("new")).validate().unwrap();
    let error = submit_in(&tx, &Submit::new(run, &Environment::system())).unwrap_err();
    assert!(error.to_string().contains("no events today"), "{error}");
    order(&tx, "milk");
    tx.commit().unwrap();
    assert_eq!(host.orders_and_runs(), (2, 0));
    assert_eq!(host.ask::<i64>("SELECT count(*) FROM conductor_kinds WHERE name = 'new'"), 0);
}

#[test]
fn full_disk_keeps_no_run() {
    let host = HostApp::installed();
    let mut connection = host.connect();
    let pages: i64 = ask(&connection, "PRAGMA page_count");
    ask::<i64>(&connection, &format!("PRAGMA max_page_count = {}", pages + 2));
    let tx = begin(&mut connection);
    order(&tx, "tea");
    let big = RunDraft::new().task(TaskDraft::new("pack").input("x".repeat(100_000)));
    let error = submit_in(&tx, &Submit::new(big.validate().unwrap(), &Environment::system())).unwrap_err();
    assert!(matches!(error, SubmitError::Store(StoreError::Io(_))), "{error:?}");
    // SQLite undoes the statement or the whole transaction. In both cases there is no run.
    let _ = tx.commit();
    assert_eq!(host.orders_and_runs().1, 0);
    assert_replays(&host.store());
}

#[test]
fn connection_with_any_pragma_works() {
    let settings = [
        "",
        "PRAGMA foreign_keys = ON",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA recursive_triggers = ON",
        "PRAGMA case_sensitive_like = ON",
        "PRAGMA reverse_unordered_selects = ON",
        "PRAGMA trusted_schema = OFF",
        "PRAGMA legacy_alter_table = ON",
        "PRAGMA synchronous = OFF",
        "PRAGMA secure_delete = ON",
        "PRAGMA ignore_check_constraints = ON",
        "PRAGMA temp_store = MEMORY",
        "PRAGMA cache_size = 1",
        "PRAGMA locking_mode = EXCLUSIVE",
        "PRAGMA encoding = 'UTF-16le'",
        "PRAGMA auto_vacuum = FULL",
        "PRAGMA journal_mode = TRUNCATE",
        "PRAGMA page_size = 512",
    ];
    for setting in settings {
        let host = HostApp::empty();
        let mut connection = host.connect();
        // Some of these pragmas return a row.
        let mut statement =
            connection.prepare(if setting.is_empty() { "SELECT 1" } else { setting }).unwrap();
        let _ = statement.query([]).unwrap().next().unwrap();
        drop(statement);
        assert_works(&host, &mut connection, setting);
    }
}

#[test]
fn connection_with_any_db_config_works() {
    for (config, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
    ] {
        let host = HostApp::empty();
        let mut connection = host.connect();
        connection.set_db_config(config, on).unwrap();
        assert_works(&host, &mut connection, &format!("{config:?}"));
    }
}

/// Asserts that installing and submitting works through this connection.
#[track_caller]
fn assert_works(host: &HostApp, connection: &mut Connection, setting: &str) {
    migrate(connection, 1);
    install_into(connection).unwrap();
    // The modules of the store are not loaded into this connection.
    assert!(connection.prepare("SELECT * FROM rarray(?1)").is_err());
    for item in ["tea", "milk"] {
        let tx = begin(connection);
        order(&tx, item);
        submit_in(&tx, &delivery(item)).unwrap();
        tx.commit().unwrap();
    }
    let _ = connection.query_row("PRAGMA locking_mode = NORMAL", [], |_| Ok(()));
    assert_eq!(ask::<String>(connection, "PRAGMA journal_mode = WAL"), "wal", "{setting}");
    assert_eq!(ask::<i64>(connection, "SELECT count(*) FROM orders"), 2);
    assert_replays(&host.store());
    assert_eq!(host.orders_and_runs(), (2, 2), "{setting}");
}

#[test]
fn host_trigger_does_not_interfere() {
    let host = HostApp::installed();
    host.run(
        "CREATE TRIGGER audit AFTER INSERT ON conductor_runs BEGIN INSERT INTO orders VALUES (77, 'audit'); END",
    );
    let mut connection = host.connect();
    let tx = begin(&mut connection);
    submit_in(&tx, &delivery("tea")).unwrap();
    tx.commit().unwrap();
    assert_eq!(host.orders_and_runs(), (1, 1));
    assert_replays(&host.store());
}

#[test]
fn deferred_transaction_waits_for_writer() {
    let host = HostApp::installed();
    let (other, mut connection) = (host.connect(), host.connect());
    connection.busy_timeout(Duration::from_mins(1)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; INSERT INTO orders (item) VALUES ('milk')").unwrap();
    let tx = connection.transaction_with_behavior(TransactionBehavior::Deferred).unwrap();
    let other = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        other.execute_batch("COMMIT").unwrap();
    });
    submit_in(&tx, &delivery("tea")).unwrap();
    tx.commit().unwrap();
    other.join().unwrap();
    assert_eq!(host.orders_and_runs(), (1, 1));
}

#[test]
fn stale_read_transaction_gets_retryable_error() {
    let host = HostApp::installed();
    let mut connection = host.connect();
    let tx = connection.transaction_with_behavior(TransactionBehavior::Deferred).unwrap();
    assert_eq!(ask::<i64>(&tx, "SELECT count(*) FROM orders"), 0);
    host.run("INSERT INTO orders (item) VALUES ('milk')");
    let error = submit_in(&tx, &delivery("tea")).unwrap_err();
    assert!(matches!(&error, SubmitError::Store(source) if source.is_retryable()), "{error:?}");
    tx.rollback().unwrap();
    let tx = begin(&mut connection);
    submit_in(&tx, &delivery("tea")).unwrap();
}

/// Asserts that a submission on this connection fails with a text that contains `part`.
#[track_caller]
fn assert_unsupported(connection: &mut Connection, part: &str) {
    let tx = begin(connection);
    let error = submit_in(&tx, &delivery("tea")).unwrap_err();
    assert!(matches!(error, SubmitError::UnsupportedConnection { .. }), "{error:?}");
    assert!(error.to_string().contains(part), "{error}");
    tx.commit().unwrap();
}

#[test]
fn shadowing_temp_table_is_rejected() {
    let host = HostApp::installed();
    let mut connection = host.connect();
    connection.execute_batch("CREATE TEMP TABLE CONDUCTOR_runs AS SELECT * FROM conductor_runs").unwrap();
    assert_unsupported(&mut connection, "`CONDUCTOR_runs`");
    connection.execute_batch("DROP TABLE temp.conductor_runs; CREATE TEMP TABLE mine (what TEXT)").unwrap();
    let tx = begin(&mut connection);
    submit_in(&tx, &delivery("tea")).unwrap();
    tx.commit().unwrap();
    assert_eq!(host.orders_and_runs(), (0, 1));
}

#[test]
fn attached_database_is_rejected() {
    let (host, other) = (HostApp::installed(), HostApp::empty());
    let mut connection = other.connect();
    connection.execute("ATTACH ?1 AS host", [host.path().to_str()]).unwrap();
    assert_unsupported(&mut connection, "install_into");
    assert_eq!(host.orders_and_runs(), (0, 0));
}

#[test]
fn other_schema_version_is_rejected() {
    let host = HostApp::installed();
    host.run("INSERT INTO conductor_migrations VALUES (99, 'later', '2026-03-01T12:00:00Z', '1')");
    assert_unsupported(&mut host.connect(), "use a newer program");
    host.run("DELETE FROM conductor_migrations");
    assert_unsupported(&mut host.connect(), "call `install_into` first");
    assert_eq!(host.orders_and_runs(), (0, 0));
}
