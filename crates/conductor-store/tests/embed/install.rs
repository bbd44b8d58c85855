//! Installing the tables into the database of a host application.

use crate::host_app::{HostApp, ask, begin, delivery, migrate, order};
use conductor_conformance::assert_replays;
use conductor_store::sqlite::{install_into, submit_in};
use conductor_store::{OpenError, Query, SqliteOptions, SqliteStore};
use std::thread;
use std::time::Duration;

/// The tables of the first version.
const V1: &str = include_str!("../../migrations/V1__tables.sql");

#[test]
fn tables_coexist_with_host_tables_and_migrations() {
    for install_first in [false, true] {
        let host = HostApp::empty();
        let mut connection = host.connect();
        if install_first {
            install_into(&mut connection).unwrap();
            migrate(&mut connection, 1);
        } else {
            migrate(&mut connection, 1);
            install_into(&mut connection).unwrap();
        }
        migrate(&mut connection, 2);
        install_into(&mut connection).unwrap();
        let foreign = "SELECT group_concat(type || ' ' || name, ', ' ORDER BY name) FROM sqlite_schema \
            WHERE name NOT LIKE 'conductor%' AND name NOT LIKE 'sqlite%'";
        assert_eq!(
            ask::<String>(&connection, foreign),
            "view events, table orders, table refinery_schema_history, table runs, table tasks"
        );
        assert_eq!(ask::<String>(&connection, "SELECT what FROM events"), "sweep the floor");
        assert_eq!(ask::<i64>(&connection, "SELECT count(*) FROM refinery_schema_history"), 2);
    }
}

#[test]
fn embedded_schema_equals_standalone_schema() {
    let (host, own) = (HostApp::installed(), HostApp::empty());
    drop(SqliteStore::open(own.path()).unwrap());
    assert_eq!(host.schema(), own.schema());
}

#[test]
fn second_install_writes_nothing() {
    let host = HostApp::empty();
    install_into(&mut host.connect()).unwrap();
    let before = host.bytes();
    let mut connection = host.connect();
    // It does not even wait for a writer.
    let other = host.connect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    install_into(&mut connection).unwrap();
    drop((connection, other));
    assert_eq!(host.bytes(), before);
}

#[test]
fn host_settings_are_unchanged() {
    let settings = [
        "journal_mode",
        "auto_vacuum",
        "synchronous",
        "foreign_keys",
        "busy_timeout",
        "application_id",
        "user_version",
    ];
    for mode in ["DELETE", "WAL"] {
        let host = HostApp::empty();
        let mut connection = host.connect();
        connection.pragma_update(None, "journal_mode", mode).unwrap();
        connection
            .execute_batch(
                "PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA application_id = 7; PRAGMA user_version = 8",
            )
            .unwrap();
        let all = |connection: &rusqlite::Connection| {
            settings.map(|name| {
                connection
                    .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
                    .unwrap()
            })
        };
        let before = all(&connection);
        install_into(&mut connection).unwrap();
        let tx = begin(&mut connection);
        submit_in(&tx, &delivery("tea")).unwrap();
        tx.commit().unwrap();
        assert_eq!(all(&connection), before);
    }
}

/// Creates a database with the first version of the tables, an order and its run.
fn host_of_v1() -> HostApp {
    let (host, later) = (HostApp::empty(), HostApp::installed());
    let mut connection = later.connect();
    let tx = begin(&mut connection);
    submit_in(&tx, &delivery("tea")).unwrap();
    tx.commit().unwrap();
    let mut old = host.connect();
    old.pragma_update(None, "journal_mode", "WAL").unwrap();
    migrate(&mut old, 1);
    order(&old, "tea");
    old.execute_batch(V1).unwrap();
    old.execute("ATTACH ?1 AS later", [later.path().to_str()]).unwrap();
    for table in ["guest", "migrations"] {
        let definition = format!("SELECT sql FROM later.sqlite_schema WHERE name = 'conductor_{table}'");
        old.execute_batch(&ask::<String>(&old, &definition)).unwrap();
    }
    let history =
        "INSERT INTO main.conductor_migrations SELECT * FROM later.conductor_migrations WHERE version = 1";
    old.execute_batch(history).unwrap();
    for table in ["kinds", "runs", "submissions", "tasks", "inputs", "events"] {
        let columns =
            format!("SELECT group_concat(name) FROM pragma_table_info('conductor_{table}', 'main')");
        let copy = "INSERT INTO main.conductor_TABLE (COLUMNS) SELECT COLUMNS FROM later.conductor_TABLE";
        let copy = copy.replace("TABLE", table).replace("COLUMNS", &ask::<String>(&old, &columns));
        old.execute_batch(&copy).unwrap();
    }
    drop(old);
    host
}

#[test]
fn older_schema_is_upgraded_by_install_and_open() {
    let new = HostApp::installed().schema();
    for installs in [true, false] {
        let host = host_of_v1();
        assert_ne!(host.schema(), new);
        if installs {
            install_into(&mut host.connect()).unwrap();
            assert_eq!(host.schema(), new);
        }
        let store = host.store();
        assert_eq!(host.schema(), new);
        assert_eq!(host.orders_and_runs(), (1, 1));
        assert_eq!(store.runs(None, 10).unwrap().items.len(), 1);
        assert_replays(&store);
    }
}

#[test]
fn upgrade_on_open_waits_for_writer() {
    let host = host_of_v1();
    let other = host.connect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let short = Duration::from_millis(1);
    let options = SqliteOptions::default().embedded(true).busy_timeout(short);
    let error = SqliteStore::open_with(host.path(), options.clone().setup_timeout(short)).unwrap_err();
    assert!(matches!(error, OpenError::Busy { .. }), "{error:?}");
    let other = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        other.execute_batch("COMMIT").unwrap();
    });
    SqliteStore::open_with(host.path(), options).unwrap();
    other.join().unwrap();
}

#[test]
fn upgrade_with_name_in_use_is_rejected() {
    let host = host_of_v1();
    // Once installed, only names that the store needs are checked.
    host.run("CREATE TABLE conductor_tips (sum INTEGER); CREATE VIEW Conductor_Engines AS SELECT 1");
    let before = host.bytes();
    for result in [install_into(&mut host.connect()), SqliteStore::open_embedded(host.path()).map(drop)] {
        let error = result.unwrap_err();
        assert!(
            matches!(&error, OpenError::NamesInUse { found, .. } if found == &["Conductor_Engines"]),
            "{error:?}"
        );
    }
    assert_eq!(host.bytes(), before);
    host.run("DROP VIEW Conductor_Engines");
    install_into(&mut host.connect()).unwrap();
}

#[test]
fn full_disk_leaves_no_tables() {
    let host = HostApp::empty();
    migrate(&mut host.connect(), 1);
    let before = host.bytes();
    let mut connection = host.connect();
    let pages: i64 = ask(&connection, "PRAGMA page_count");
    ask::<i64>(&connection, &format!("PRAGMA max_page_count = {}", pages + 9));
    let error = install_into(&mut connection).unwrap_err();
    assert!(matches!(error, OpenError::Backend { .. }), "{error:?}");
    assert!(connection.is_autocommit());
    drop(connection);
    assert_eq!(host.bytes(), before);
    install_into(&mut host.connect()).unwrap();
}
