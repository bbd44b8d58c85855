//! A file is made, and opened again.

use crate::folder::Folder;
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
fn all_files_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
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
fn a_new_file_has_its_layout_from_the_first_page() {
    let folder = Folder::new();
    drop(SqliteStore::open(folder.db()).unwrap());
    assert_eq!(folder.ask::<String>("PRAGMA journal_mode"), "wal");
    assert_eq!(folder.ask::<i64>("PRAGMA auto_vacuum"), 2);
    let migrations = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap().count();
    let applied = folder.ask::<i64>("SELECT count(*) FROM conductor_migrations");
    assert_eq!(usize::try_from(applied).unwrap(), migrations);
    assert_eq!(folder.ask::<String>("PRAGMA integrity_check"), "ok");
}

#[test]
fn an_empty_file_and_a_database_without_tables_count_as_new() {
    for (what, prepare) in [("empty", ""), ("without tables", "CREATE TABLE t (a); DROP TABLE t;")] {
        let folder = Folder::new();
        fs::write(folder.db(), "").unwrap();
        folder.run(prepare);
        drop(SqliteStore::open(folder.db()).unwrap());
        assert_eq!(folder.ask::<i64>("PRAGMA auto_vacuum"), 2, "{what}");
        assert_eq!(folder.ask::<i64>("SELECT count(*) FROM runs"), 0, "{what}");
    }
}

#[test]
fn a_later_open_writes_nothing() {
    let folder = Folder::new();
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
fn a_copy_without_its_lock_is_opened_without_one() {
    let folder = Folder::new();
    let run = submit(&SqliteStore::open(folder.db()).unwrap());
    fs::remove_file(folder.path().join("conductor.db-conductor.lock")).unwrap();
    let store = SqliteStore::open(folder.db()).unwrap();
    assert!(store.run(run).unwrap().is_some());
    drop(store);
    assert_eq!(folder.names(), ["conductor.db"]);
}

#[test]
fn names_that_mean_something_to_sqlite_are_files_like_others() {
    for name in [":memory:", "file:a?mode=memory", "file::memory:"] {
        let folder = Folder::new();
        let path = folder.path().join(name);
        let run = submit(&SqliteStore::open(&path).unwrap());
        assert!(path.is_file(), "{name}");
        assert!(SqliteStore::open(&path).unwrap().run(run).unwrap().is_some(), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn every_spelling_of_a_path_means_the_same_file_and_lock() {
    let folder = Folder::new();
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
fn the_log_of_a_killed_process_is_read() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.db()).unwrap();
    let run = submit(&store);
    // What a process leaves behind that is killed: a file and its log.
    let copy = Folder::new();
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
fn a_journal_mode_that_somebody_changed_is_mended() {
    let folder = Folder::new();
    let run = submit(&SqliteStore::open(folder.db()).unwrap());
    folder.run("PRAGMA journal_mode = DELETE");
    let store = SqliteStore::open(folder.db()).unwrap();
    assert!(store.run(run).unwrap().is_some());
    drop(store);
    assert_eq!(folder.ask::<String>("PRAGMA journal_mode"), "wal");
}

#[test]
fn two_stores_share_a_file() {
    let folder = Folder::new();
    let (one, other) = (SqliteStore::open(folder.db()).unwrap(), SqliteStore::open(folder.db()).unwrap());
    let run = submit(&one);
    assert!(other.run(run).unwrap().is_some());
    let run = submit(&other);
    assert!(one.run(run).unwrap().is_some());
}

#[test]
fn a_file_that_is_held_by_another_program_is_busy_and_not_broken() {
    let folder = Folder::new();
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
fn a_busy_timeout_beyond_what_sqlite_can_count_is_the_longest_that_it_can() {
    for busy_timeout in [Duration::from_hours(30 * 24), Duration::MAX] {
        let folder = Folder::new();
        let options = SqliteOptions::default().busy_timeout(busy_timeout);
        let store = SqliteStore::open_with(folder.db(), options).unwrap();
        let run = submit(&store);
        assert!(store.run(run).unwrap().is_some());
    }
}
