//! A file is created, and opened again.

use crate::test_folder::TestFolder;
use conductor_model::{RunDraft, TaskDraft};
use conductor_store::{Environment, OpenError, Query, SqliteOptions, SqliteStore, Store, Submit};
use std::fs;
use std::time::Duration;

fn submit(store: &SqliteStore) -> conductor_model::RunId {
    let run = RunDraft::new().task(TaskDraft::new("A")).validate().unwrap();
    store.submit(&Submit::new(run, &Environment::system())).unwrap().run
}

#[cfg(unix)]
#[test]
fn files_are_readable_by_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TestFolder::new();
    let store = SqliteStore::open(folder.db()).unwrap();
    submit(&store);
    let names = folder.names();
    assert_eq!(
        names,
        ["conductor.db", "conductor.db-conductor.lock", "conductor.db-shm", "conductor.db-wal"]
    );
    for name in names {
        let mode = fs::metadata(folder.path().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn new_file_has_expected_layout() {
    let folder = TestFolder::new();
    drop(SqliteStore::open(folder.db()).unwrap());
    assert_eq!(folder.ask::<String>("PRAGMA journal_mode"), "wal");
    assert_eq!(folder.ask::<i64>("PRAGMA auto_vacuum"), 2);
    let migrations = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap().count();
    let applied = folder.ask::<i64>("SELECT count(*) FROM conductor_migrations");
    assert_eq!(usize::try_from(applied).unwrap(), migrations);
    assert_eq!(folder.ask::<String>("PRAGMA integrity_check"), "ok");
}

#[test]
fn empty_database_counts_as_new() {
    for (what, prepare) in [("empty", ""), ("without tables", "CREATE TABLE t (a); DROP TABLE t;")] {
        let folder = TestFolder::new();
        fs::write(folder.db(), "").unwrap();
        folder.run(prepare);
        drop(SqliteStore::open(folder.db()).unwrap());
        assert_eq!(folder.ask::<i64>("PRAGMA auto_vacuum"), 2, "{what}");
        assert_eq!(folder.ask::<i64>("SELECT count(*) FROM runs"), 0, "{what}");
    }
}

#[test]
fn later_open_writes_nothing() {
    let folder = TestFolder::new();
    let run = submit(&SqliteStore::open(folder.db()).unwrap());
    let before = (folder.content(), fs::metadata(folder.db()).unwrap().modified().unwrap());
    let store = SqliteStore::open(folder.db()).unwrap();
    assert!(store.run(run).unwrap().is_some());
    drop(store);
    let after = (folder.content(), fs::metadata(folder.db()).unwrap().modified().unwrap());
    assert_eq!(before, after);
    assert_eq!(folder.names(), ["conductor.db", "conductor.db-conductor.lock"]);
}

#[test]
fn copy_without_lock_file_gets_none() {
    let folder = TestFolder::new();
    let run = submit(&SqliteStore::open(folder.db()).unwrap());
    fs::remove_file(folder.path().join("conductor.db-conductor.lock")).unwrap();
    let store = SqliteStore::open(folder.db()).unwrap();
    assert!(store.run(run).unwrap().is_some());
    drop(store);
    assert_eq!(folder.names(), ["conductor.db"]);
}

#[test]
fn special_sqlite_names_are_plain_files() {
    for name in [":memory:", "file:a?mode=memory", "file::memory:"] {
        let folder = TestFolder::new();
        let path = folder.path().join(name);
        let run = submit(&SqliteStore::open(&path).unwrap());
        assert!(path.is_file(), "{name}");
        assert!(SqliteStore::open(&path).unwrap().run(run).unwrap().is_some(), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn path_spellings_share_file_and_lock() {
    let folder = TestFolder::new();
    fs::create_dir(folder.path().join("other")).unwrap();
    let link = folder.path().join("other/link.db");
    let run = submit(&SqliteStore::open(folder.path().join("other/../conductor.db")).unwrap());
    std::os::unix::fs::symlink(folder.db(), &link).unwrap();
    let store = SqliteStore::open(&link).unwrap();
    assert!(store.run(run).unwrap().is_some());
    drop(store);
    assert_eq!(folder.names(), ["conductor.db", "conductor.db-conductor.lock", "other"]);
    assert_eq!(fs::read_dir(folder.path().join("other")).unwrap().count(), 1);
}

#[test]
fn wal_of_killed_process_is_read() {
    let folder = TestFolder::new();
    let store = SqliteStore::open(folder.db()).unwrap();
    let run = submit(&store);
    // A killed process leaves the database and its log.
    let copy = TestFolder::new();
    for end in ["", "-wal"] {
        fs::copy(
            folder.path().join(format!("conductor.db{end}")),
            copy.path().join(format!("conductor.db{end}")),
        )
        .unwrap();
    }
    drop(store);
    let store = SqliteStore::open(copy.db()).unwrap();
    assert!(store.run(run).unwrap().is_some());
    drop(store);
    assert_eq!(copy.names(), ["conductor.db"]);
}

#[test]
fn changed_journal_mode_is_restored() {
    let folder = TestFolder::new();
    let run = submit(&SqliteStore::open(folder.db()).unwrap());
    folder.run("PRAGMA journal_mode = DELETE");
    let store = SqliteStore::open(folder.db()).unwrap();
    assert!(store.run(run).unwrap().is_some());
    drop(store);
    assert_eq!(folder.ask::<String>("PRAGMA journal_mode"), "wal");
}

#[test]
fn two_stores_share_one_file() {
    let folder = TestFolder::new();
    let (one, other) = (SqliteStore::open(folder.db()).unwrap(), SqliteStore::open(folder.db()).unwrap());
    let run = submit(&one);
    assert!(other.run(run).unwrap().is_some());
    let run = submit(&other);
    assert!(one.run(run).unwrap().is_some());
}

#[test]
fn locked_file_is_reported_as_busy() {
    let folder = TestFolder::new();
    drop(SqliteStore::open(folder.db()).unwrap());
    let holder = rusqlite::Connection::open(folder.db()).unwrap();
    holder.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let options = SqliteOptions::default().busy_timeout(Duration::from_millis(20));
    let error = SqliteStore::open_with(folder.db(), options).unwrap_err();
    assert!(matches!(error, OpenError::Busy { .. }), "{error:?}");
    drop(holder);
    SqliteStore::open(folder.db()).unwrap();
}

#[test]
fn busy_timeout_is_capped_at_sqlite_maximum() {
    for busy_timeout in [Duration::from_hours(30 * 24), Duration::MAX] {
        let folder = TestFolder::new();
        let options = SqliteOptions::default().busy_timeout(busy_timeout);
        let store = SqliteStore::open_with(folder.db(), options).unwrap();
        let run = submit(&store);
        assert!(store.run(run).unwrap().is_some());
    }
}
