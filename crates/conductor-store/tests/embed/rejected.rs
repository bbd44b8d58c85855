//! Databases that the installation rejects, and leaves unchanged.

use crate::host_app::{HostApp, migrate};
use conductor_store::sqlite::install_into;
use conductor_store::{OpenError, SqliteStore};
use rusqlite::{Connection, OpenFlags};
use std::time::Duration;

/// Asserts that the installation on a prepared connection fails and changes nothing.
#[track_caller]
fn install_error(host: &HostApp, prepare: impl FnOnce(&Connection)) -> OpenError {
    let before = host.bytes();
    let mut connection = host.connect();
    prepare(&connection);
    let error = install_into(&mut connection).expect_err("the installation is rejected");
    drop(connection);
    assert!(host.bytes() == before, "the database changed");
    assert_eq!(host.names(), ["host.db"]);
    error
}

#[test]
fn names_in_use_are_rejected() {
    for (sql, name) in [
        ("CREATE TABLE conductor_tasks (what TEXT)", "conductor_tasks"),
        ("CREATE TABLE Conductor_Runs (what TEXT)", "Conductor_Runs"),
        ("CREATE VIEW conductor_events AS SELECT 1", "conductor_events"),
        ("CREATE INDEX conductor_blocks_id ON orders (item)", "conductor_blocks_id"),
        ("CREATE TRIGGER conductor_x AFTER INSERT ON orders BEGIN SELECT 1; END", "conductor_x"),
        ("CREATE TABLE conductor_of_later_versions (what TEXT)", "conductor_of_later_versions"),
        ("CREATE TABLE conductor_guest (what TEXT)", "conductor_guest"),
        ("CREATE TABLE conductor_migrations (what TEXT)", "conductor_migrations"),
        (
            "CREATE TABLE conductor_migrations (version int4, name TEXT, applied_on TEXT, checksum TEXT)",
            "conductor_migrations",
        ),
    ] {
        let host = HostApp::empty();
        migrate(&mut host.connect(), 1);
        host.run(sql);
        let error = install_error(&host, |_| ());
        assert!(matches!(&error, OpenError::NamesInUse { found, .. } if found == &[name]), "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn newer_or_changed_schema_is_rejected() {
    let change = |sql: &str| {
        let host = HostApp::empty();
        install_into(&mut host.connect()).unwrap();
        host.run(sql);
        install_error(&host, |_| ())
    };
    let error = change("INSERT INTO conductor_migrations VALUES (99, 'later', '2026-03-01T12:00:00Z', '1')");
    assert!(matches!(error, OpenError::SchemaTooNew { found: 99, .. }), "{error:?}");
    let error = change("UPDATE conductor_migrations SET checksum = '1'");
    assert!(matches!(error, OpenError::MigrationMismatch { .. }), "{error:?}");
    let error = change("DROP INDEX conductor_blocks_id");
    assert!(
        matches!(&error, OpenError::Corrupt { what, .. } if what.contains("conductor_blocks_id")),
        "{error:?}"
    );
    for sql in ["DELETE FROM conductor_migrations", "DROP TABLE conductor_migrations"] {
        let error = change(sql);
        assert!(
            matches!(&error, OpenError::Corrupt { what, .. } if what.contains("conductor_migrations")),
            "{error:?}"
        );
    }
}

#[test]
fn standalone_file_is_rejected() {
    let host = HostApp::empty();
    drop(SqliteStore::open(host.path()).unwrap());
    let before = host.bytes();
    let error = install_into(&mut host.connect()).unwrap_err();
    assert!(matches!(error, OpenError::StandaloneDatabase { .. }), "{error:?}");
    assert_eq!(host.bytes(), before);
}

#[test]
fn read_only_database_is_rejected() {
    let host = HostApp::empty();
    migrate(&mut host.connect(), 1);
    let error =
        install_error(&host, |connection| connection.pragma_update(None, "query_only", true).unwrap());
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
    let before = host.bytes();
    let read_only = Connection::open_with_flags(host.path(), OpenFlags::SQLITE_OPEN_READ_ONLY);
    let error = install_into(&mut read_only.unwrap()).unwrap_err();
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
    assert_eq!(host.bytes(), before);
}

#[test]
fn open_transaction_is_rejected_and_continues() {
    let host = HostApp::empty();
    let mut connection = host.connect();
    migrate(&mut connection, 1);
    connection.execute_batch("BEGIN; INSERT INTO orders (item) VALUES ('tea')").unwrap();
    let error = install_into(&mut connection).unwrap_err();
    assert!(matches!(error, OpenError::InTransaction { .. }), "{error:?}");
    connection.execute_batch("COMMIT").unwrap();
    assert_eq!(host.ask::<i64>("SELECT count(*) FROM orders"), 1);
    install_into(&mut connection).unwrap();
}

#[test]
fn shadowing_temp_objects_are_rejected() {
    for (sql, name) in [
        ("CREATE TEMP TABLE conductor_tasks (what TEXT)", "conductor_tasks"),
        ("CREATE TEMP VIEW Conductor_Runs AS SELECT 1", "Conductor_Runs"),
    ] {
        let host = HostApp::empty();
        migrate(&mut host.connect(), 1);
        let error = install_error(&host, |connection| connection.execute_batch(sql).unwrap());
        assert!(matches!(&error, OpenError::ShadowedByTemp { found, .. } if found == &[name]), "{error:?}");
    }
}

#[test]
fn long_write_lock_is_reported_as_busy() {
    let host = HostApp::empty();
    let other = host.connect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut connection = host.connect();
    connection.busy_timeout(Duration::from_millis(10)).unwrap();
    let error = install_into(&mut connection).unwrap_err();
    assert!(matches!(error, OpenError::Busy { .. }), "{error:?}");
}

#[test]
fn error_names_database() {
    let mut connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("CREATE TABLE conductor_tasks (what TEXT)").unwrap();
    assert!(
        install_into(&mut connection)
            .unwrap_err()
            .to_string()
            .starts_with(":memory: has other tables or views")
    );
    let host = HostApp::empty();
    let mut connection = host.connect();
    connection.execute_batch("CREATE TABLE conductor_tasks (what TEXT)").unwrap();
    assert!(
        install_into(&mut connection).unwrap_err().to_string().contains("host.db has other tables or views")
    );
}
