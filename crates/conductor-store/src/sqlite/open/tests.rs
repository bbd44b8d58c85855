//! Opening is interrupted after each of its steps, and the next open continues from there.

mod upgrade;

use super::connect::{check_library, connect};
use super::layout::set_layout;
use super::setup::{execute, next_step};
use super::*;
use crate::{Query, Scope, SqliteStore};
use rusqlite::OpenFlags;
use std::fs;
use std::time::Duration;

const LEGACY: &str = concat!(
    include_str!("../../../tests/fixtures/seed/001_initial_schema.sql"),
    include_str!("../../../tests/fixtures/seed/002_tasks_and_events.sql"),
    include_str!("../../../tests/fixtures/seed/003_add_retry_fields.sql"),
    "INSERT INTO runs VALUES ('01ARZ3NDEKTSV4RRFFQ69G5FAA', '2025-11-03T09:15:27.042Z', \
        '2025-11-03T09:15:27.042Z', 'RUNNING', NULL);",
    "INSERT INTO tasks VALUES ('01ARZ3NDEKTSV4RRFFQ69G5FAB', '01ARZ3NDEKTSV4RRFFQ69G5FAA', NULL, 'A', 'FAILED', \
        '2025-11-03T09:15:27.042Z', '2025-11-03T09:15:27.042Z', NULL, NULL, 0, 3, NULL);",
    "INSERT INTO events VALUES ('01ARZ3NDEKTSV4RRFFQ69G5FAC', '01ARZ3NDEKTSV4RRFFQ69G5FAA', NULL, 'E', \
        '2025-11-03T09:15:27.042Z', NULL);",
);

/// Executes at most this number of setup steps; returns their names.
fn open_for(path: &Path, steps: usize) -> Vec<String> {
    path::create(path).unwrap();
    let mut connection = connect(path, &SqliteOptions::default()).unwrap();
    let mut done = Vec::new();
    while done.len() < steps {
        let step = next_step(path, &mut connection, |_| Ok(())).unwrap();
        if step == inspect::SetupStep::Done {
            break;
        }
        done.push(format!("{step:?}").split('(').next().unwrap().to_owned());
        execute(path, &mut connection, &SqliteOptions::default(), &step).unwrap();
    }
    done
}

#[test]
fn interrupted_first_open_is_finished_by_next() {
    let all = ["SetLayout", "Migrate", "CreateViews"];
    for steps in 0..=all.len() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conductor.db");
        assert_eq!(open_for(&path, steps), all[..steps]);
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.state_counts(Scope::All).unwrap().total(), 0);
        assert!(open_for(&path, 9).is_empty());
    }
}

#[test]
fn interrupted_import_is_finished_by_next_open() {
    let all = ["Rename", "SetLayout", "Migrate", "CopyRows", "CreateViews"];
    for steps in 0..=all.len() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conductor.db");
        Connection::open(&path).unwrap().execute_batch(LEGACY).unwrap();
        assert_eq!(open_for(&path, steps), all[..steps]);
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.state_counts(Scope::All).unwrap().failed, 1, "after {steps} steps");
        assert_eq!(store.events(crate::EventFilter::default(), 0, 9).unwrap().items.len(), 3);
        assert!(open_for(&path, 9).is_empty());
    }
}

#[test]
fn empty_history_table_means_interrupted_migration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conductor.db");
    open_for(&path, 1);
    let sql = "CREATE TABLE conductor_migrations \
        (version int4 PRIMARY KEY, name VARCHAR(255), applied_on VARCHAR(255), checksum VARCHAR(255))";
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    assert_eq!(open_for(&path, 9), ["Migrate", "CreateViews"]);
}

#[test]
fn legacy_write_into_interrupted_import_is_rejected() {
    for steps in 1..=3 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conductor.db");
        Connection::open(&path).unwrap().execute_batch(LEGACY).unwrap();
        open_for(&path, steps);
        // The TypeScript version creates missing tables when it starts.
        Connection::open(&path).unwrap().execute_batch(LEGACY).unwrap();
        let before = fs::read(&path).unwrap();
        let error = SqliteStore::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn deleted_file_is_not_recreated_by_open_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conductor.db");
    let error = file_again(&path, &SqliteOptions::default()).unwrap_err();
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error:?}");
    assert!(!path.exists());
}

#[test]
fn options_reach_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conductor.db");
    for (synchronous, number) in [(Synchronous::Full, 2), (Synchronous::Normal, 1), (Synchronous::Full, 2)] {
        let options =
            SqliteOptions::default().synchronous(synchronous).busy_timeout(Duration::from_millis(70));
        let connection = file(&path, &options).unwrap();
        let ask = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!((ask("synchronous"), ask("busy_timeout"), ask("foreign_keys")), (number, 70, 1));
    }
}

#[test]
fn path_without_wal_support_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conductor.db");
    // One of the kinds of files that SQLite cannot share memory about, as on a network file system.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = if cfg!(unix) {
        Connection::open_with_flags_and_vfs(&path, flags, "unix-dotfile").unwrap()
    } else {
        Connection::open_in_memory().unwrap()
    };
    let error = set_layout(&path, &connection, Duration::from_mins(10)).unwrap_err();
    assert!(matches!(error, OpenError::WalUnsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("network file system"), "{error}");
}

#[test]
fn corrupting_sqlite_version_is_rejected() {
    assert!(check_library(3_051_003).is_ok());
    let refused = check_library(3_051_002).unwrap_err();
    assert!(refused.to_string().contains("3.51.2"), "{refused}");
    check_library(rusqlite::version_number()).unwrap();
}
