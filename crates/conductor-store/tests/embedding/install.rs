//! Our tables come into a database of the user's, which stays the user's.

use crate::shop::{Shop, ask, begin, delivery, migrate, order};
use conductor_conformance::assert_replays;
use conductor_store::sqlite::{install_into, submit_in};
use conductor_store::{OpenError, Query, SqliteOptions, SqliteStore};
use std::thread;
use std::time::Duration;

/// The first version of the tables, as it was released.
const V1: &str = include_str!("../../migrations/V1__tables.sql");

#[test]
fn our_tables_live_beside_a_users_own_tables_and_migrations() {
    for we_come_first in [false, true] {
        let shop = Shop::closed();
        let mut connection = shop.connect();
        if we_come_first {
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
fn our_tables_are_the_same_as_in_a_file_of_our_own() {
    let (shop, own) = (Shop::open(), Shop::closed());
    drop(SqliteStore::open(own.path()).unwrap());
    assert_eq!(shop.our_schema(), own.our_schema());
}

#[test]
fn installing_again_writes_nothing() {
    let shop = Shop::closed();
    install_into(&mut shop.connect()).unwrap();
    let before = shop.bytes();
    let mut connection = shop.connect();
    // Nobody who writes is waited for, either.
    let other = shop.connect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    install_into(&mut connection).unwrap();
    drop((connection, other));
    assert_eq!(shop.bytes(), before);
}

#[test]
fn the_settings_of_the_database_and_of_the_connection_stay_the_users() {
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
        let shop = Shop::closed();
        let mut connection = shop.connect();
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

/// A database into which the first version was installed, with an order and its run.
fn shop_of_v1() -> Shop {
    let (shop, later) = (Shop::closed(), Shop::open());
    let mut connection = later.connect();
    let tx = begin(&mut connection);
    submit_in(&tx, &delivery("tea")).unwrap();
    tx.commit().unwrap();
    let mut old = shop.connect();
    old.pragma_update(None, "journal_mode", "WAL").unwrap();
    migrate(&mut old, 1);
    order(&old, "tea");
    old.execute_batch(V1).unwrap();
    old.execute("ATTACH ?1 AS later", [later.path().to_str()]).unwrap();
    for table in ["guest", "migrations"] {
        let made = format!("SELECT sql FROM later.sqlite_schema WHERE name = 'conductor_{table}'");
        old.execute_batch(&ask::<String>(&old, &made)).unwrap();
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
    shop
}

#[test]
fn an_older_installation_is_brought_up_to_date_by_installing_and_by_opening() {
    let new = Shop::open().our_schema();
    for installs in [true, false] {
        let shop = shop_of_v1();
        assert_ne!(shop.our_schema(), new);
        if installs {
            install_into(&mut shop.connect()).unwrap();
            assert_eq!(shop.our_schema(), new);
        }
        let store = shop.store();
        assert_eq!(shop.our_schema(), new);
        assert_eq!(shop.orders_and_runs(), (1, 1));
        assert_eq!(store.runs(None, 10).unwrap().items.len(), 1);
        assert_replays(&store);
    }
}

#[test]
fn opening_an_older_installation_waits_for_a_writer_as_long_as_for_a_set_up() {
    let shop = shop_of_v1();
    let other = shop.connect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let short = Duration::from_millis(1);
    let options = SqliteOptions::default().embedded(true).busy_timeout(short);
    let error = SqliteStore::open_with(shop.path(), options.clone().setup_timeout(short)).unwrap_err();
    assert!(matches!(error, OpenError::Busy { .. }), "{error:?}");
    let other = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        other.execute_batch("COMMIT").unwrap();
    });
    SqliteStore::open_with(shop.path(), options).unwrap();
    other.join().unwrap();
}

#[test]
fn a_name_that_a_newer_version_needs_and_the_user_took_is_refused() {
    let shop = shop_of_v1();
    // Names that nobody needs are let be once we are there.
    shop.run("CREATE TABLE conductor_tips (sum INTEGER); CREATE VIEW Conductor_Engines AS SELECT 1");
    let before = shop.bytes();
    for refused in [install_into(&mut shop.connect()), SqliteStore::open_embedded(shop.path()).map(drop)] {
        let error = refused.unwrap_err();
        assert!(
            matches!(&error, OpenError::NamesInUse { found, .. } if found == &["Conductor_Engines"]),
            "{error:?}"
        );
    }
    assert_eq!(shop.bytes(), before);
    shop.run("DROP VIEW Conductor_Engines");
    install_into(&mut shop.connect()).unwrap();
}

#[test]
fn a_disk_that_fills_up_midway_leaves_nothing_of_ours() {
    let shop = Shop::closed();
    migrate(&mut shop.connect(), 1);
    let before = shop.bytes();
    let mut connection = shop.connect();
    let pages: i64 = ask(&connection, "PRAGMA page_count");
    ask::<i64>(&connection, &format!("PRAGMA max_page_count = {}", pages + 9));
    let error = install_into(&mut connection).unwrap_err();
    assert!(matches!(error, OpenError::Backend { .. }), "{error:?}");
    assert!(connection.is_autocommit());
    drop(connection);
    assert_eq!(shop.bytes(), before);
    install_into(&mut shop.connect()).unwrap();
}
