//! A store on a database of the user's.

use crate::shop::{Shop, begin, delivery, migrate};
use conductor_conformance::assert_replays;
use conductor_store::sqlite::{install_into, submit_in};
use conductor_store::{Environment, FanOut, OpenError, Query, Scope, SqliteOptions, SqliteStore, Store};

#[track_caller]
fn refused(shop: &Shop) -> OpenError {
    let before = shop.bytes();
    let error = SqliteStore::open_embedded(shop.path()).expect_err("it should be refused");
    assert!(shop.bytes() == before, "the bytes changed");
    assert_eq!(shop.names(), ["shop.db"]);
    error
}

#[test]
fn a_store_works_in_a_database_of_the_users_and_makes_no_views() {
    let shop = Shop::open();
    let store = shop.store();
    let run = store.submit(&delivery("tea")).unwrap().run;
    let env = Environment::system();
    let _ = store.fan_out(&FanOut::new(Scope::All, 10, &env)).unwrap();
    assert_eq!(store.state_counts(Scope::Run(run)).unwrap().total(), 4);
    assert_replays(&store);
    drop(store);
    assert_eq!(
        shop.ask::<String>("SELECT group_concat(name) FROM sqlite_schema WHERE type = 'view'"),
        "events"
    );
    assert_eq!(shop.ask::<String>("SELECT what FROM events"), "sweep the floor");
    assert_eq!(shop.ask::<i64>("PRAGMA auto_vacuum"), 0);
    assert_eq!(shop.ask::<String>("PRAGMA integrity_check"), "ok");
    assert_eq!(shop.names(), ["shop.db"]);
}

#[test]
fn a_store_that_is_opened_again_writes_nothing() {
    let shop = Shop::open();
    let before = shop.bytes();
    drop(shop.store());
    assert_eq!(shop.bytes(), before);
}

#[test]
fn options_go_along() {
    let shop = Shop::open();
    let options = SqliteOptions::default().readers(1).embedded(true);
    assert_eq!(
        SqliteStore::open_with(shop.path(), options).unwrap().state_counts(Scope::All).unwrap().total(),
        0
    );
}

#[test]
fn a_database_without_our_tables_is_refused() {
    let shop = Shop::closed();
    migrate(&mut shop.connect(), 1);
    let error = refused(&shop);
    assert!(matches!(error, OpenError::NotEmbedded { .. }), "{error:?}");
    assert!(error.to_string().contains("install_into"), "{error}");
}

#[test]
fn a_missing_database_is_not_made() {
    let shop = Shop::closed();
    let error = SqliteStore::open_embedded(shop.path()).unwrap_err();
    assert!(matches!(error, OpenError::NotEmbedded { .. }), "{error:?}");
    assert!(shop.names().is_empty());
}

#[test]
fn a_database_that_is_not_in_wal_mode_is_refused_with_the_pragma_to_run() {
    let shop = Shop::closed();
    install_into(&mut shop.connect()).unwrap();
    let error = refused(&shop);
    assert!(matches!(&error, OpenError::NotInWalMode { mode, .. } if mode == "delete"), "{error:?}");
    assert!(error.to_string().contains("`PRAGMA journal_mode = WAL`"), "{error}");
    shop.run("PRAGMA journal_mode = WAL");
    shop.store();
}

#[test]
fn a_newer_schema_is_refused() {
    let shop = Shop::open();
    shop.run("INSERT INTO conductor_migrations VALUES (99, 'later', '2026-03-01T12:00:00Z', '1')");
    let error = refused(&shop);
    assert!(matches!(error, OpenError::SchemaTooNew { found: 99, .. }), "{error:?}");
}

#[test]
fn a_file_of_our_own_and_a_database_of_the_users_are_not_mistaken_for_each_other() {
    let (shop, own) = (Shop::open(), Shop::closed());
    drop(SqliteStore::open(own.path()).unwrap());
    let error = SqliteStore::open_embedded(own.path()).unwrap_err();
    assert!(matches!(error, OpenError::StandaloneDatabase { .. }), "{error:?}");
    let before = shop.bytes();
    let error = SqliteStore::open(shop.path()).unwrap_err();
    assert!(matches!(error, OpenError::EmbeddedDatabase { .. }), "{error:?}");
    assert!(error.to_string().contains("open_embedded"), "{error}");
    assert_eq!(shop.bytes(), before);
    assert_eq!(shop.names(), ["shop.db"]);
}

#[test]
fn a_run_is_also_submitted_in_a_transaction_on_a_file_of_our_own() {
    let own = Shop::closed();
    let store = SqliteStore::open(own.path()).unwrap();
    let mut connection = own.connect();
    connection.execute_batch("CREATE TABLE orders (item TEXT)").unwrap();
    let tx = begin(&mut connection);
    let run = submit_in(&tx, &delivery("tea")).unwrap().run;
    tx.commit().unwrap();
    assert!(store.run(run).unwrap().is_some());
    assert_replays(&store);
}
