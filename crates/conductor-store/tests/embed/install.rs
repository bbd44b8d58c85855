//! Installing the tables into the database of a host application.

use crate::host_app::{HostApp, ask, begin, delivery, migrate};
use conductor_store::sqlite::{install_into, submit_in};
use conductor_store::{OpenError, SqliteStore};

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
