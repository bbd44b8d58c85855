//! What is refused when it is installed into: with a sentence, and the bytes untouched.

use crate::shop::{Shop, migrate};
use conductor_store::sqlite::install_into;
use conductor_store::{OpenError, SqliteStore};
use rusqlite::{Connection, OpenFlags};
use std::time::Duration;

/// Installs into the database through a connection that is prepared in this way, and wants to be refused.
#[track_caller]
fn refused(shop: &Shop, prepare: impl FnOnce(&Connection)) -> OpenError {
    let before = shop.bytes();
    let mut connection = shop.connect();
    prepare(&connection);
    let error = install_into(&mut connection).expect_err("it should be refused");
    drop(connection);
    assert!(shop.bytes() == before, "the bytes changed");
    assert_eq!(shop.names(), ["shop.db"]);
    error
}

#[test]
fn names_of_ours_that_are_taken_are_refused() {
    for (taken, name) in [
        ("CREATE TABLE conductor_tasks (what TEXT)", "conductor_tasks"),
        ("CREATE TABLE Conductor_Runs (what TEXT)", "Conductor_Runs"),
        ("CREATE VIEW conductor_events AS SELECT 1", "conductor_events"),
        ("CREATE INDEX conductor_tasks_id ON orders (item)", "conductor_tasks_id"),
        ("CREATE TRIGGER conductor_x AFTER INSERT ON orders BEGIN SELECT 1; END", "conductor_x"),
        ("CREATE TABLE conductor_of_later_versions (what TEXT)", "conductor_of_later_versions"),
        ("CREATE TABLE conductor_guest (what TEXT)", "conductor_guest"),
        ("CREATE TABLE conductor_migrations (what TEXT)", "conductor_migrations"),
        (
            "CREATE TABLE conductor_migrations (version int4, name TEXT, applied_on TEXT, checksum TEXT)",
            "conductor_migrations",
        ),
    ] {
        let shop = Shop::closed();
        migrate(&mut shop.connect(), 1);
        shop.run(taken);
        let error = refused(&shop, |_| ());
        assert!(matches!(&error, OpenError::NamesInUse { found, .. } if found == &[name]), "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_newer_or_another_schema_is_refused() {
    let change = |sql: &str| {
        let shop = Shop::closed();
        install_into(&mut shop.connect()).unwrap();
        shop.run(sql);
        refused(&shop, |_| ())
    };
    let error = change("INSERT INTO conductor_migrations VALUES (99, 'later', '2026-03-01T12:00:00Z', '1')");
    assert!(matches!(error, OpenError::SchemaTooNew { found: 99, .. }), "{error:?}");
    let error = change("UPDATE conductor_migrations SET checksum = '1'");
    assert!(matches!(error, OpenError::MigrationMismatch { .. }), "{error:?}");
    let error = change("DROP INDEX conductor_tasks_id");
    assert!(
        matches!(&error, OpenError::Corrupt { what, .. } if what.contains("conductor_tasks_id")),
        "{error:?}"
    );
    for lost in ["DELETE FROM conductor_migrations", "DROP TABLE conductor_migrations"] {
        let error = change(lost);
        assert!(
            matches!(&error, OpenError::Corrupt { what, .. } if what.contains("conductor_migrations")),
            "{error:?}"
        );
    }
}

#[test]
fn a_file_of_our_own_is_refused() {
    let shop = Shop::closed();
    drop(SqliteStore::open(shop.path()).unwrap());
    let before = shop.bytes();
    let error = install_into(&mut shop.connect()).unwrap_err();
    assert!(matches!(error, OpenError::StandaloneDatabase { .. }), "{error:?}");
    assert_eq!(shop.bytes(), before);
}

#[test]
fn what_cannot_be_written_is_refused() {
    let shop = Shop::closed();
    migrate(&mut shop.connect(), 1);
    let error = refused(&shop, |connection| connection.pragma_update(None, "query_only", true).unwrap());
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
    let before = shop.bytes();
    let read_only = Connection::open_with_flags(shop.path(), OpenFlags::SQLITE_OPEN_READ_ONLY);
    let error = install_into(&mut read_only.unwrap()).unwrap_err();
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
    assert_eq!(shop.bytes(), before);
}

#[test]
fn an_open_transaction_is_refused_and_goes_on() {
    let shop = Shop::closed();
    let mut connection = shop.connect();
    migrate(&mut connection, 1);
    connection.execute_batch("BEGIN; INSERT INTO orders (item) VALUES ('tea')").unwrap();
    let error = install_into(&mut connection).unwrap_err();
    assert!(matches!(error, OpenError::InTransaction { .. }), "{error:?}");
    connection.execute_batch("COMMIT").unwrap();
    assert_eq!(shop.ask::<i64>("SELECT count(*) FROM orders"), 1);
    install_into(&mut connection).unwrap();
}

#[test]
fn temporary_tables_and_views_before_ours_are_refused() {
    for (sql, name) in [
        ("CREATE TEMP TABLE conductor_tasks (what TEXT)", "conductor_tasks"),
        ("CREATE TEMP VIEW Conductor_Runs AS SELECT 1", "Conductor_Runs"),
    ] {
        let shop = Shop::closed();
        migrate(&mut shop.connect(), 1);
        let error = refused(&shop, |connection| connection.execute_batch(sql).unwrap());
        assert!(matches!(&error, OpenError::ShadowedByTemp { found, .. } if found == &[name]), "{error:?}");
    }
}

#[test]
fn who_writes_for_longer_than_the_busy_timeout_is_named() {
    let shop = Shop::closed();
    let other = shop.connect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut connection = shop.connect();
    connection.busy_timeout(Duration::from_millis(10)).unwrap();
    let error = install_into(&mut connection).unwrap_err();
    assert!(matches!(error, OpenError::Busy { .. }), "{error:?}");
}

#[test]
fn an_error_names_the_database() {
    let mut connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("CREATE TABLE conductor_tasks (what TEXT)").unwrap();
    assert!(
        install_into(&mut connection)
            .unwrap_err()
            .to_string()
            .starts_with(":memory: has other tables or views")
    );
    let shop = Shop::closed();
    let mut connection = shop.connect();
    connection.execute_batch("CREATE TABLE conductor_tasks (what TEXT)").unwrap();
    assert!(
        install_into(&mut connection).unwrap_err().to_string().contains("shop.db has other tables or views")
    );
}
