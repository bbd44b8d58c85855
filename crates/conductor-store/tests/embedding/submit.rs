//! A run is submitted in a transaction of the user's.

use crate::shop::{Shop, ask, begin, delivery, migrate, order};
use conductor_conformance::assert_replays;
use conductor_model::{RunDraft, TaskDraft, TaskId};
use conductor_store::sqlite::{install_into, rusqlite, submit_in};
use conductor_store::{Environment, Query, SqliteStore, Store, StoreError, Submit, SubmitError, TaskFilter};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};
use std::thread;
use std::time::Duration;

#[test]
fn a_commit_leaves_both_the_order_and_its_run() {
    let shop = Shop::open();
    let store = shop.store();
    let mut connection = shop.connect();
    let tx = begin(&mut connection);
    order(&tx, "tea");
    let submitted = submit_in(&tx, &delivery("tea")).unwrap();
    assert!(submitted.created);
    assert!(store.run(submitted.run).unwrap().is_none(), "it is seen before the commit");
    tx.commit().unwrap();
    assert_eq!(shop.orders_and_runs(), (1, 1));
    // The same as without any transaction of the user's.
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
fn a_rollback_and_a_crash_in_between_leave_neither() {
    let shop = Shop::open();
    for rolls_back in [true, false] {
        let mut connection = shop.connect();
        let tx = begin(&mut connection);
        order(&tx, "tea");
        submit_in(&tx, &delivery("tea")).unwrap();
        if rolls_back {
            tx.rollback().unwrap();
        } else {
            drop(tx);
        }
        assert_eq!(shop.orders_and_runs(), (0, 0));
        assert_eq!(shop.ask::<i64>("SELECT count(*) FROM conductor_kinds"), 0);
    }
    // Nothing that was rolled back is remembered.
    let mut connection = shop.connect();
    let tx = begin(&mut connection);
    assert!(submit_in(&tx, &delivery("tea")).unwrap().created);
}

#[test]
fn an_idempotency_key_means_the_same_as_everywhere() {
    let shop = Shop::open();
    let mut connection = shop.connect();
    let tx = begin(&mut connection);
    let first = submit_in(&tx, &delivery("tea")).unwrap();
    let again = submit_in(&tx, &delivery("tea")).unwrap();
    assert_eq!((first.created, again.created, first.run), (true, false, again.run));
    tx.commit().unwrap();
    assert_eq!(shop.store().submit(&delivery("tea")).unwrap(), again);
    let other = RunDraft::new().idempotency_key("tea").task(TaskDraft::new("pour"));
    let tx = begin(&mut connection);
    let conflict =
        submit_in(&tx, &Submit::new(other.validate().unwrap(), &Environment::system())).unwrap_err();
    assert!(matches!(conflict, SubmitError::IdempotencyConflict { run } if run == first.run), "{conflict:?}");
}

#[test]
fn a_refused_submission_leaves_the_transaction_as_it_was() {
    let shop = Shop::open();
    let mut connection = shop.connect();
    let taken = TaskId::from_u128(7);
    let with_id = |run: RunDraft| run.task(TaskDraft::new("pack").id(taken));
    let with_id = |run| Submit::new(with_id(run).validate().unwrap(), &Environment::system());
    let tx = begin(&mut connection);
    let run = submit_in(&tx, &with_id(RunDraft::new())).unwrap().run;
    order(&tx, "tea");
    // The run and its first task were written by the time the second task is refused.
    let second = RunDraft::new().task(TaskDraft::new("fetch").kind("new"));
    let refused = submit_in(&tx, &with_id(second)).unwrap_err();
    assert!(matches!(refused, SubmitError::TaskIdTaken(id) if id == taken), "{refused:?}");
    order(&tx, "milk");
    tx.commit().unwrap();
    assert_eq!(shop.orders_and_runs(), (2, 1));
    assert_eq!(shop.ask::<i64>("SELECT count(*) FROM conductor_kinds WHERE name = 'new'"), 0);
    let store = shop.store();
    assert!(store.run(run).unwrap().is_some());
    assert_replays(&store);
}

#[test]
fn a_full_disk_leaves_neither() {
    let shop = Shop::open();
    let mut connection = shop.connect();
    let pages: i64 = ask(&connection, "PRAGMA page_count");
    ask::<i64>(&connection, &format!("PRAGMA max_page_count = {}", pages + 2));
    let tx = begin(&mut connection);
    order(&tx, "tea");
    let big = RunDraft::new().task(TaskDraft::new("pack").input("x".repeat(100_000)));
    let error = submit_in(&tx, &Submit::new(big.validate().unwrap(), &Environment::system())).unwrap_err();
    assert!(matches!(error, SubmitError::Store(StoreError::Io(_))), "{error:?}");
    // Whether SQLite undid the statement or all of the transaction, the run is not there.
    let _ = tx.commit();
    assert_eq!(shop.orders_and_runs().1, 0);
    assert_replays(&shop.store());
}

#[test]
fn the_connection_may_have_any_settings() {
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
        let shop = Shop::closed();
        let mut connection = shop.connect();
        // Some of these answer with a row.
        let mut statement =
            connection.prepare(if setting.is_empty() { "SELECT 1" } else { setting }).unwrap();
        let _ = statement.query([]).unwrap().next().unwrap();
        drop(statement);
        works(&shop, &mut connection, setting);
    }
}

#[test]
fn the_connection_may_be_defensive_or_strict_about_quotes() {
    for (config, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
    ] {
        let shop = Shop::closed();
        let mut connection = shop.connect();
        connection.set_db_config(config, on).unwrap();
        works(&shop, &mut connection, &format!("{config:?}"));
    }
}

/// Installs and submits through this connection, and looks at what came of it.
#[track_caller]
fn works(shop: &Shop, connection: &mut Connection, what: &str) {
    migrate(connection, 1);
    install_into(connection).unwrap();
    // It is plain: our own modules are not loaded.
    assert!(connection.prepare("SELECT * FROM rarray(?1)").is_err());
    for item in ["tea", "milk"] {
        let tx = begin(connection);
        order(&tx, item);
        submit_in(&tx, &delivery(item)).unwrap();
        tx.commit().unwrap();
    }
    let _ = connection.query_row("PRAGMA locking_mode = NORMAL", [], |_| Ok(()));
    assert_eq!(ask::<String>(connection, "PRAGMA journal_mode = WAL"), "wal", "{what}");
    assert_eq!(ask::<i64>(connection, "SELECT count(*) FROM orders"), 2);
    assert_replays(&shop.store());
    assert_eq!(shop.orders_and_runs(), (2, 2), "{what}");
}

#[test]
fn a_trigger_of_the_users_on_our_tables_does_no_harm() {
    let shop = Shop::open();
    shop.run(
        "CREATE TRIGGER audit AFTER INSERT ON conductor_runs BEGIN INSERT INTO orders VALUES (77, 'audit'); END",
    );
    let mut connection = shop.connect();
    let tx = begin(&mut connection);
    submit_in(&tx, &delivery("tea")).unwrap();
    tx.commit().unwrap();
    assert_eq!(shop.orders_and_runs(), (1, 1));
    assert_replays(&shop.store());
}

#[test]
fn a_deferred_transaction_waits_for_other_writers() {
    let shop = Shop::open();
    let (other, mut connection) = (shop.connect(), shop.connect());
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
    assert_eq!(shop.orders_and_runs(), (1, 1));
}

#[test]
fn a_transaction_that_read_before_somebody_else_wrote_is_told_to_begin_again() {
    let shop = Shop::open();
    let mut connection = shop.connect();
    let tx = connection.transaction_with_behavior(TransactionBehavior::Deferred).unwrap();
    assert_eq!(ask::<i64>(&tx, "SELECT count(*) FROM orders"), 0);
    shop.run("INSERT INTO orders (item) VALUES ('milk')");
    let error = submit_in(&tx, &delivery("tea")).unwrap_err();
    assert!(matches!(&error, SubmitError::Store(fault) if fault.is_retryable()), "{error:?}");
    tx.rollback().unwrap();
    let tx = begin(&mut connection);
    submit_in(&tx, &delivery("tea")).unwrap();
}

/// A submission that is refused because of the connection, in these words.
#[track_caller]
fn unfit(connection: &mut Connection, words: &str) {
    let tx = begin(connection);
    let error = submit_in(&tx, &delivery("tea")).unwrap_err();
    assert!(matches!(error, SubmitError::UnsupportedConnection { .. }), "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
    tx.commit().unwrap();
}

#[test]
fn temporary_tables_do_not_capture_what_is_submitted() {
    let shop = Shop::open();
    let mut connection = shop.connect();
    connection.execute_batch("CREATE TEMP TABLE CONDUCTOR_runs AS SELECT * FROM conductor_runs").unwrap();
    unfit(&mut connection, "`CONDUCTOR_runs`");
    connection.execute_batch("DROP TABLE temp.conductor_runs; CREATE TEMP TABLE mine (what TEXT)").unwrap();
    let tx = begin(&mut connection);
    submit_in(&tx, &delivery("tea")).unwrap();
    tx.commit().unwrap();
    assert_eq!(shop.orders_and_runs(), (0, 1));
}

#[test]
fn nothing_is_submitted_into_a_database_that_is_only_attached() {
    let (shop, other) = (Shop::open(), Shop::closed());
    let mut connection = other.connect();
    connection.execute("ATTACH ?1 AS shop", [shop.path().to_str()]).unwrap();
    unfit(&mut connection, "install_into");
    assert_eq!(shop.orders_and_runs(), (0, 0));
}

#[test]
fn nothing_is_submitted_into_tables_of_another_version() {
    let shop = Shop::open();
    shop.run("INSERT INTO conductor_migrations VALUES (99, 'later', '2026-03-01T12:00:00Z', '1')");
    unfit(&mut shop.connect(), "use a newer program");
    shop.run("DELETE FROM conductor_migrations WHERE version > 1");
    unfit(&mut shop.connect(), "call `install_into` first");
    assert_eq!(shop.orders_and_runs(), (0, 0));
}
