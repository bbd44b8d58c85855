//! Other files are rejected, and stay unchanged.

use crate::test_folder::TestFolder;
use conductor_store::{OpenError, SqliteStore};
use std::fs;
use std::path::Path;

/// Asserts that opening fails twice with the same error, and changes no file.
#[track_caller]
fn open_error(folder: &TestFolder) -> OpenError {
    let before = folder.content();
    let error = SqliteStore::open(folder.db()).unwrap_err();
    assert!(error.to_string().contains("conductor.db"), "the error names the file: {error}");
    assert_eq!(folder.content(), before, "{error}");
    // The first attempt could have left something that changes the second answer.
    assert_eq!(SqliteStore::open(folder.db()).unwrap_err().to_string(), error.to_string());
    assert_eq!(folder.content(), before, "{error}");
    error
}

fn file_of(content: &[u8]) -> TestFolder {
    let folder = TestFolder::new();
    fs::write(folder.db(), content).unwrap();
    folder
}

/// Creates a database, then runs these statements on it.
fn changed_database(sql: &str) -> TestFolder {
    let folder = TestFolder::new();
    drop(SqliteStore::open(folder.db()).unwrap());
    folder.run(sql);
    folder
}

#[test]
fn empty_path_is_rejected() {
    let error = SqliteStore::open("").unwrap_err();
    assert!(matches!(error, OpenError::EmptyPath), "{error:?}");
}

#[test]
fn directory_is_rejected() {
    let folder = TestFolder::new();
    fs::create_dir(folder.db()).unwrap();
    let error = SqliteStore::open(folder.db()).unwrap_err();
    assert!(matches!(error, OpenError::Directory { .. }), "{error:?}");
    assert_eq!(folder.names(), ["conductor.db"]);
    assert!(matches!(SqliteStore::open("/").unwrap_err(), OpenError::Directory { .. }));
}

#[test]
fn missing_folder_is_named_and_not_created() {
    let folder = TestFolder::new();
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
    assert!(error.to_string().ends_with("file is a file; choose another path"), "{error}");
    assert_eq!(folder.names(), ["file"]);
}

#[cfg(unix)]
#[test]
fn device_and_dangling_link_are_rejected() {
    let error = SqliteStore::open("/dev/null").unwrap_err();
    assert!(matches!(error, OpenError::NotAFile { .. }), "{error:?}");
    let folder = TestFolder::new();
    std::os::unix::fs::symlink(folder.path().join("nothing"), folder.db()).unwrap();
    let error = SqliteStore::open(folder.db()).unwrap_err();
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error:?}");
    assert_eq!(folder.names(), ["conductor.db"]);
}

#[test]
fn non_database_file_is_rejected() {
    let text = "Dear database,\n".repeat(500);
    let random: Vec<u8> = (1_u32..8193).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    for content in [b"x".as_slice(), text.as_bytes(), &[0; 4096], &random, b"SQLite format 2\0 and so on"] {
        let error = open_error(&file_of(content));
        assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    }
}

#[test]
fn truncated_database_is_rejected() {
    let folder = TestFolder::new();
    drop(SqliteStore::open(folder.db()).unwrap());
    let whole = fs::read(folder.db()).unwrap();
    for length in [20, 100, 512, 4096, whole.len() / 2, whole.len() - 4096] {
        let error = open_error(&file_of(&whole[..length]));
        assert!(
            matches!(error, OpenError::Corrupt { .. } | OpenError::NotADatabase { .. }),
            "{length}: {error:?}"
        );
    }
}

#[test]
fn foreign_database_is_rejected() {
    for (sql, name) in [
        ("CREATE TABLE songs (title)", "songs"),
        ("PRAGMA journal_mode = WAL; CREATE TABLE songs (title)", "songs"),
        ("CREATE VIEW songs AS SELECT 1", "songs"),
        ("CREATE TABLE runs (id); CREATE TABLE tasks (id)", "runs"),
        // Similar to the TypeScript version.
        (
            "CREATE TABLE runs (id); CREATE TABLE tasks (id); CREATE TABLE events (id)",
            "runs without created_at",
        ),
    ] {
        let folder = TestFolder::new();
        folder.run(sql);
        let error = open_error(&folder);
        assert!(
            matches!(&error, OpenError::ForeignDatabase { found, .. } if found.contains(&name.to_owned())),
            "{error:?}"
        );
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn foreign_database_with_wal_stays_unchanged() {
    let folder = TestFolder::new();
    let other = rusqlite::Connection::open(folder.db()).unwrap();
    other.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE songs (title)").unwrap();
    let copy = TestFolder::new();
    for end in ["", "-wal"] {
        let name = format!("conductor.db{end}");
        fs::copy(folder.path().join(&name), copy.path().join(&name)).unwrap();
    }
    let before = copy.content();
    let error = SqliteStore::open(copy.db()).unwrap_err();
    assert!(matches!(error, OpenError::ForeignDatabase { .. }), "{error:?}");
    // The log was not moved into the file. Only the index of the log may be new.
    let mut after = copy.content();
    after.remove("conductor.db-shm");
    assert_eq!(after, before);
}

#[test]
fn newer_schema_is_rejected() {
    let sql = "INSERT INTO conductor_migrations VALUES (99, 'later', '2026-03-01T12:00:00Z', '1')";
    let error = open_error(&changed_database(sql));
    assert!(matches!(error, OpenError::SchemaTooNew { found: 99, .. }), "{error:?}");
}

/// What the history of such a file has: the names and checksums are those of four migrations that became one.
const MADE_BEFORE: &str = "UPDATE conductor_migrations SET checksum = '8716355434573041842'; \
    INSERT INTO conductor_migrations VALUES \
    (2, 'claims', '2026-03-01T12:00:00Z', '1'), (3, 'marks_joins_progress', '2026-03-01T12:00:00Z', '2'), \
    (4, 'prune', '2026-03-01T12:00:00Z', '3')";

#[test]
fn file_made_before_first_release_is_rejected() {
    let folder = changed_database(MADE_BEFORE);
    let before = folder.content();
    let error = SqliteStore::open(folder.db()).unwrap_err();
    assert!(matches!(error, OpenError::MigrationMismatch { .. }), "{error:?}");
    assert!(error.to_string().contains("made before the first release"), "{error}");
    assert_eq!(folder.content(), before);
}

#[test]
fn changed_migration_history_is_rejected() {
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
        let error = open_error(&changed_database(sql));
        assert!(matches!(error, OpenError::MigrationMismatch { .. }), "{sql}: {error:?}");
    }
}

#[test]
fn database_with_missing_object_is_corrupt() {
    for (sql, missing) in [
        ("DROP TABLE conductor_inputs", "conductor_inputs"),
        ("DROP INDEX conductor_ranges_due", "conductor_ranges_due"),
        ("DROP TABLE conductor_migrations", "conductor_migrations"),
        ("DROP VIEW tasks; CREATE TABLE tasks (id)", "tasks"),
    ] {
        let error = open_error(&changed_database(sql));
        assert!(
            matches!(&error, OpenError::Corrupt { what, .. } if what.contains(missing)),
            "{sql}: {error:?}"
        );
    }
    // With an empty history, all migrations would be applied again.
    let error = SqliteStore::open(changed_database("DELETE FROM conductor_migrations").db()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn unwritable_file_system_is_rejected() {
    // Even root cannot create a file there.
    for path in ["/proc/conductor.db", "/sys/conductor.db"] {
        let error = SqliteStore::open(path).unwrap_err();
        assert!(matches!(error, OpenError::ReadOnly { .. }), "{path}: {error:?}");
        assert!(!Path::new(path).exists());
    }
}

/// Runs `child_opens_read_only_file` without root permissions.
#[cfg(target_os = "linux")]
#[test]
fn read_only_file_and_folder_are_rejected() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let folder = TestFolder::new();
    drop(SqliteStore::open(folder.db()).unwrap());
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set(&folder.db(), 0o444);
    set(&folder.path().join("conductor.db-conductor.lock"), 0o444);
    set(folder.path(), 0o555);
    let before = folder.content();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "rejected::child_opens_read_only_file", "--nocapture"]);
    child.env(CHILD, folder.path()).current_dir("/");
    if fs::metadata(folder.path()).unwrap().uid() == 0 {
        child.uid(65534);
    }
    let ended = child.output();
    set(folder.path(), 0o755);
    match ended {
        Ok(ended) => assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout)),
        // A container can forbid the change of the user.
        Err(error) => eprintln!("skipped: the user cannot be changed here ({error})"),
    }
    assert_eq!(folder.content(), before);
}

#[cfg(target_os = "linux")]
const CHILD: &str = "CONDUCTOR_TEST_READ_ONLY";

#[cfg(target_os = "linux")]
#[test]
fn child_opens_read_only_file() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    for name in ["conductor.db", "new.db"] {
        let error = SqliteStore::open(Path::new(&folder).join(name)).unwrap_err();
        assert!(matches!(error, OpenError::ReadOnly { .. }), "{name}: {error:?}");
    }
}
