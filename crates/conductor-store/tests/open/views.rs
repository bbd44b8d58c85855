//! Opening a file creates its views.

use crate::test_folder::TestFolder;
use conductor_store::SqliteStore;
use rusqlite::Connection;

#[test]
fn columns_match_legacy_tables() {
    let folder = TestFolder::new();
    drop(SqliteStore::open(folder.db()).unwrap());
    let legacy = Connection::open_in_memory().unwrap();
    legacy.execute_batch(include_str!("../fixtures/seed/001_initial_schema.sql")).unwrap();
    legacy.execute_batch(include_str!("../fixtures/seed/002_tasks_and_events.sql")).unwrap();
    legacy.execute_batch(include_str!("../fixtures/seed/003_add_retry_fields.sql")).unwrap();
    let columns = |connection: &Connection, table: &str| -> Vec<String> {
        let statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        statement.column_names().map(String::from).collect()
    };
    let ours = Connection::open(folder.db()).unwrap();
    for table in ["runs", "tasks", "events"] {
        assert_eq!(columns(&ours, table), columns(&legacy, table));
    }
}

#[test]
fn outdated_view_is_recreated() {
    let folder = TestFolder::new();
    drop(SqliteStore::open(folder.db()).unwrap());
    let views = "SELECT group_concat(sql ORDER BY name) FROM sqlite_master WHERE type = 'view'";
    let before: String = folder.ask(views);
    folder.run("DROP VIEW runs; CREATE VIEW runs AS SELECT 1 AS id; DROP VIEW events");
    drop(SqliteStore::open(folder.db()).unwrap());
    assert_eq!(folder.ask::<String>(views), before);
}

#[test]
fn views_are_read_only() {
    let folder = TestFolder::new();
    drop(SqliteStore::open(folder.db()).unwrap());
    let legacy = Connection::open(folder.db()).unwrap();
    let insert = "INSERT INTO runs VALUES ('01ARZ3NDEKTSV4RRFFQ69G5FAV', '', '', 'RUNNING', NULL)";
    assert!(legacy.execute_batch(insert).is_err());
    assert!(legacy.execute_batch("UPDATE tasks SET state = 'FAILED'").is_err());
}
