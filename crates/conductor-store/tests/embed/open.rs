//! A store on the database of a host application.

use crate::host_app::{HostApp, begin, delivery, migrate};
use conductor_conformance::assert_replays;
use conductor_store::sqlite::{install_into, submit_in};
use conductor_store::{Environment, FanOut, OpenError, Query, Scope, SqliteOptions, SqliteStore, Store};

#[track_caller]
fn open_error(host: &HostApp) -> OpenError {
    let before = host.bytes();
    let error = SqliteStore::open_embedded(host.path()).expect_err("the database is rejected");
    assert!(host.bytes() == before, "the database changed");
    assert_eq!(host.names(), ["host.db"]);
    error
}

#[test]
fn embedded_store_works_without_views() {
    let host = HostApp::installed();
    let store = host.store();
    let run = store.submit(&delivery("tea")).unwrap().run;
    let env = Environment::system();
    let _ = store.fan_out(&FanOut::new(Scope::All, 10, &env)).unwrap();
    assert_eq!(store.state_counts(Scope::Run(run)).unwrap().total(), 4);
    assert_replays(&store);
    drop(store);
    assert_eq!(
        host.ask::<String>("SELECT group_concat(name) FROM sqlite_schema WHERE type = 'view'"),
        "events"
    );
    assert_eq!(host.ask::<String>("SELECT what FROM events"), "sweep the floor");
    assert_eq!(host.ask::<i64>("PRAGMA auto_vacuum"), 0);
    assert_eq!(host.ask::<String>("PRAGMA integrity_check"), "ok");
    assert_eq!(host.names(), ["host.db"]);
}

#[test]
fn second_open_writes_nothing() {
    let host = HostApp::installed();
    let before = host.bytes();
    drop(host.store());
    assert_eq!(host.bytes(), before);
}

#[test]
fn options_are_applied() {
    let host = HostApp::installed();
    let options = SqliteOptions::default().readers(1).embedded(true);
    assert_eq!(
        SqliteStore::open_with(host.path(), options).unwrap().state_counts(Scope::All).unwrap().total(),
        0
    );
}

#[test]
fn database_without_tables_is_rejected() {
    let host = HostApp::empty();
    migrate(&mut host.connect(), 1);
    let error = open_error(&host);
    assert!(matches!(error, OpenError::NotEmbedded { .. }), "{error:?}");
    assert!(error.to_string().contains("install_into"), "{error}");
}

#[test]
fn missing_database_is_not_created() {
    let host = HostApp::empty();
    let error = SqliteStore::open_embedded(host.path()).unwrap_err();
    assert!(matches!(error, OpenError::NotEmbedded { .. }), "{error:?}");
    assert!(host.names().is_empty());
}

#[test]
fn database_without_wal_mode_is_rejected() {
    let host = HostApp::empty();
    install_into(&mut host.connect()).unwrap();
    let error = open_error(&host);
    assert!(matches!(&error, OpenError::NotInWalMode { mode, .. } if mode == "delete"), "{error:?}");
    assert!(error.to_string().contains("`PRAGMA journal_mode = WAL`"), "{error}");
    host.run("PRAGMA journal_mode = WAL");
    host.store();
}

#[test]
fn newer_schema_is_rejected() {
    let host = HostApp::installed();
    host.run("INSERT INTO conductor_migrations VALUES (99, 'later', '2026-03-01T12:00:00Z', '1')");
    let error = open_error(&host);
    assert!(matches!(error, OpenError::SchemaTooNew { found: 99, .. }), "{error:?}");
}

#[test]
fn standalone_and_embedded_files_are_distinguished() {
    let (host, standalone) = (HostApp::installed(), HostApp::empty());
    drop(SqliteStore::open(standalone.path()).unwrap());
    let error = SqliteStore::open_embedded(standalone.path()).unwrap_err();
    assert!(matches!(error, OpenError::StandaloneDatabase { .. }), "{error:?}");
    let before = host.bytes();
    let error = SqliteStore::open(host.path()).unwrap_err();
    assert!(matches!(error, OpenError::EmbeddedDatabase { .. }), "{error:?}");
    assert!(error.to_string().contains("open_embedded"), "{error}");
    assert_eq!(host.bytes(), before);
    assert_eq!(host.names(), ["host.db"]);
}

#[test]
fn submit_in_works_on_standalone_file() {
    let standalone = HostApp::empty();
    let store = SqliteStore::open(standalone.path()).unwrap();
    let mut connection = standalone.connect();
    connection.execute_batch("CREATE TABLE orders (item TEXT)").unwrap();
    let tx = begin(&mut connection);
    let run = submit_in(&tx, &delivery("tea")).unwrap().run;
    tx.commit().unwrap();
    assert!(store.run(run).unwrap().is_some());
    assert_replays(&store);
}
