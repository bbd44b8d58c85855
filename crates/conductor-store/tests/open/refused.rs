//! What is none of ours is refused, and left as it was.

use crate::folder::Folder;
use conductor_store::{OpenError, SqliteStore};
use std::fs;
use std::path::Path;

/// Opens the database of the folder; it must be refused with a whole sentence, and nothing be changed or left.
#[track_caller]
fn refused(folder: &Folder) -> OpenError {
    let before = folder.content();
    let error = SqliteStore::open(folder.db()).unwrap_err();
    assert!(error.to_string().contains("conductor.db"), "it says where: {error}");
    assert_eq!(folder.content(), before, "{error}");
    // A second time, for the first could have left something behind that changes the answer.
    assert_eq!(SqliteStore::open(folder.db()).unwrap_err().to_string(), error.to_string());
    assert_eq!(folder.content(), before, "{error}");
    error
}

fn with(content: &[u8]) -> Folder {
    let folder = Folder::new();
    fs::write(folder.db(), content).unwrap();
    folder
}

/// A database of ours on which somebody ran statements.
fn ours_after(sql: &str) -> Folder {
    let folder = Folder::new();
    drop(SqliteStore::open(folder.db()).unwrap());
    folder.run(sql);
    folder
}

#[test]
fn an_empty_path() {
    let error = SqliteStore::open("").unwrap_err();
    assert!(matches!(error, OpenError::EmptyPath), "{error:?}");
}

#[test]
fn a_folder() {
    let folder = Folder::new();
    fs::create_dir(folder.db()).unwrap();
    let error = SqliteStore::open(folder.db()).unwrap_err();
    assert!(matches!(error, OpenError::Directory { .. }), "{error:?}");
    assert_eq!(folder.names(), ["conductor.db"]);
    assert!(matches!(SqliteStore::open("/").unwrap_err(), OpenError::Directory { .. }));
}

#[test]
fn a_missing_folder_is_named_and_not_made() {
    let folder = Folder::new();
    for parent in ["missing", "missing/deeper"] {
        let error = SqliteStore::open(folder.path().join(parent).join("conductor.db")).unwrap_err();
        assert!(
            matches!(&error, OpenError::MissingFolder { folder, .. } if folder.ends_with(parent)),
            "{error:?}"
        );
    }
    fs::write(folder.path().join("file"), "").unwrap();
    let error = SqliteStore::open(folder.path().join("file/conductor.db")).unwrap_err();
    assert!(matches!(error, OpenError::MissingFolder { .. }), "{error:?}");
    assert_eq!(folder.names(), ["file"]);
}

#[cfg(unix)]
#[test]
fn a_device_and_a_link_to_nothing() {
    let error = SqliteStore::open("/dev/null").unwrap_err();
    assert!(matches!(error, OpenError::NotAFile { .. }), "{error:?}");
    let folder = Folder::new();
    std::os::unix::fs::symlink(folder.path().join("nothing"), folder.db()).unwrap();
    let error = SqliteStore::open(folder.db()).unwrap_err();
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error:?}");
    assert_eq!(folder.names(), ["conductor.db"]);
}

#[test]
fn what_is_no_database() {
    let text = "Dear database,\n".repeat(500);
    let random: Vec<u8> = (1_u32..8193).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    for content in [b"x".as_slice(), text.as_bytes(), &[0; 4096], &random, b"SQLite format 2\0 and so on"] {
        let error = refused(&with(content));
        assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    }
}

#[test]
fn a_database_that_was_cut_off() {
    let folder = Folder::new();
    drop(SqliteStore::open(folder.db()).unwrap());
    let whole = fs::read(folder.db()).unwrap();
    for length in [20, 100, 512, 4096, whole.len() / 2, whole.len() - 4096] {
        let error = refused(&with(&whole[..length]));
        assert!(
            matches!(error, OpenError::Corrupt { .. } | OpenError::NotADatabase { .. }),
            "{length}: {error:?}"
        );
    }
}

#[test]
fn a_database_of_another_program() {
    for (sql, name) in [
        ("CREATE TABLE songs (title)", "songs"),
        ("PRAGMA journal_mode = WAL; CREATE TABLE songs (title)", "songs"),
        ("CREATE VIEW songs AS SELECT 1", "songs"),
        ("CREATE TABLE runs (id); CREATE TABLE tasks (id)", "runs"),
        // Almost the original's.
        (
            "CREATE TABLE runs (id); CREATE TABLE tasks (id); CREATE TABLE events (id)",
            "runs without created_at",
        ),
    ] {
        let folder = Folder::new();
        folder.run(sql);
        let error = refused(&folder);
        assert!(
            matches!(&error, OpenError::ForeignDatabase { found, .. } if found.contains(&name.to_owned())),
            "{error:?}"
        );
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_database_of_another_program_that_was_killed() {
    let folder = Folder::new();
    let other = rusqlite::Connection::open(folder.db()).unwrap();
    other.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE songs (title)").unwrap();
    let copy = Folder::new();
    for end in ["", "-wal"] {
        let name = format!("conductor.db{end}");
        fs::copy(folder.path().join(&name), copy.path().join(&name)).unwrap();
    }
    let before = copy.content();
    let error = SqliteStore::open(copy.db()).unwrap_err();
    assert!(matches!(error, OpenError::ForeignDatabase { .. }), "{error:?}");
    // Its log is still there and was not moved into the file; SQLite's own index of the log may be new.
    let mut after = copy.content();
    after.remove("conductor.db-shm");
    assert_eq!(after, before);
}

#[test]
fn a_newer_schema() {
    let sql = "INSERT INTO conductor_migrations VALUES (99, 'later', '2026-03-01T12:00:00Z', '1')";
    let error = refused(&ours_after(sql));
    assert!(matches!(error, OpenError::SchemaTooNew { found: 99, .. }), "{error:?}");
}

#[test]
fn a_history_that_is_not_ours() {
    for sql in [
        "UPDATE conductor_migrations SET checksum = '1' WHERE version = 1",
        "UPDATE conductor_migrations SET checksum = 'x' WHERE version = 1",
        "UPDATE conductor_migrations SET checksum = NULL WHERE version = 1",
        "UPDATE conductor_migrations SET name = 'other' WHERE version = 1",
        "UPDATE conductor_migrations SET applied_on = 'never' WHERE version = 1",
        "UPDATE conductor_migrations SET version = 0 WHERE version = 1",
        "UPDATE conductor_migrations SET name = x'ff' WHERE version = 1",
        "DROP TABLE conductor_migrations; CREATE TABLE conductor_migrations (version)",
    ] {
        let error = refused(&ours_after(sql));
        assert!(matches!(error, OpenError::MigrationMismatch { .. }), "{sql}: {error:?}");
    }
}

#[test]
fn a_database_of_ours_that_lacks_something() {
    for (sql, lost) in [
        ("DROP TABLE conductor_inputs", "conductor_inputs"),
        ("DROP INDEX conductor_tasks_due", "conductor_tasks_due"),
        ("DROP TABLE conductor_migrations", "conductor_migrations"),
        ("DROP VIEW tasks; CREATE TABLE tasks (id)", "tasks"),
    ] {
        let error = refused(&ours_after(sql));
        assert!(matches!(&error, OpenError::Corrupt { what, .. } if what.contains(lost)), "{sql}: {error:?}");
    }
    // Without a history that says what was applied, everything would be applied again.
    let error = SqliteStore::open(ours_after("DELETE FROM conductor_migrations").db()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_place_that_takes_no_file() {
    // Not even root can make a file there.
    for path in ["/proc/conductor.db", "/sys/conductor.db"] {
        let error = SqliteStore::open(path).unwrap_err();
        assert!(matches!(error, OpenError::ReadOnly { .. }), "{path}: {error:?}");
        assert!(!Path::new(path).exists());
    }
}

/// Runs `child_opens_what_it_may_not_write` as nobody, for whom permissions hold also when the tests run as root.
#[cfg(target_os = "linux")]
#[test]
fn a_file_and_a_folder_without_the_permission_to_write() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let folder = Folder::new();
    drop(SqliteStore::open(folder.db()).unwrap());
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set(&folder.db(), 0o444);
    set(&folder.path().join("conductor.db-conductor.lock"), 0o444);
    set(folder.path(), 0o555);
    let before = folder.content();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "refused::child_opens_what_it_may_not_write", "--nocapture"]);
    child.env(CHILD, folder.path()).current_dir("/");
    if fs::metadata(folder.path()).unwrap().uid() == 0 {
        child.uid(65534);
    }
    let ended = child.output();
    set(folder.path(), 0o755);
    match ended {
        Ok(ended) => assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout)),
        // Root in a container may not be allowed to become somebody else, or nobody to run this program.
        Err(error) => eprintln!("skipped: this test cannot run as nobody here ({error})"),
    }
    assert_eq!(folder.content(), before);
}

#[cfg(target_os = "linux")]
const CHILD: &str = "CONDUCTOR_TEST_READ_ONLY";

#[cfg(target_os = "linux")]
#[test]
fn child_opens_what_it_may_not_write() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    for name in ["conductor.db", "new.db"] {
        let error = SqliteStore::open(Path::new(&folder).join(name)).unwrap_err();
        assert!(matches!(error, OpenError::ReadOnly { .. }), "{name}: {error:?}");
    }
}
