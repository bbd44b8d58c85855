//! Files of this program, and a later program that has one migration more.

use super::*;
use crate::sqlite::open::migrations::{Known, LATER, migrations as ours, newest};
use crate::{Admin, Environment, Store, Submit, Verify};
use conductor_model::{Run, RunDraft, TaskDraft};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

/// A migration that changes a table, adds one, and fills it from the rows.
const NOTES: &str = "ALTER TABLE conductor_runs ADD COLUMN note TEXT; \
    CREATE TABLE conductor_notes (run INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT; \
    INSERT INTO conductor_notes (run, text) SELECT key, id FROM conductor_runs;";

/// It never ends in a file that has a run.
const ENDLESS: &str = "CREATE TABLE conductor_notes (run INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT; \
    INSERT INTO conductor_notes (run, text) WITH RECURSIVE numbers (n) AS \
    (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE EXISTS (SELECT 1 FROM conductor_runs)) \
    SELECT n, printf('%1000d', n) FROM numbers;";

/// Acts as a program with these migrations behind ours.
fn as_later<T>(migrations: &[&str], act: impl FnOnce() -> T) -> T {
    let mut all = ours().to_vec();
    for (sql, version) in migrations.iter().zip(newest() + 1..) {
        all.push(refinery::Migration::unapplied(&format!("V{version}__later"), sql).unwrap());
    }
    LATER.set(Some(Box::leak(Box::new(Known::new(all)))));
    let done = act();
    LATER.set(None);
    done
}

/// A folder with a file of this program that has one run.
fn file_with_run() -> (tempfile::TempDir, PathBuf, Run) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conductor.db");
    let store = SqliteStore::open(&path).unwrap();
    (folder, path, submit(&store))
}

fn submit(store: &SqliteStore) -> Run {
    let run = RunDraft::new().task(TaskDraft::new("A").fan_out(["a", "b"])).validate().unwrap();
    let run = store.submit(&Submit::new(run, &Environment::system())).unwrap().run;
    store.run(run).unwrap().unwrap()
}

#[track_caller]
fn assert_has(store: &SqliteStore, run: &Run) {
    assert_eq!(store.runs(None, 9).unwrap().items, std::slice::from_ref(run));
    let report = store.verify(&Verify::all()).unwrap();
    assert_eq!((report.tasks, report.found), (1, 0), "{report:?}");
}

fn notes(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT text FROM conductor_notes").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn rows_survive_upgrade() {
    let (_folder, path, run) = file_with_run();
    as_later(&[NOTES], || {
        assert_eq!(open_for(&path, 9), ["Migrate"]);
        assert_has(&SqliteStore::open(&path).unwrap(), &run);
        assert!(open_for(&path, 9).is_empty());
    });
    assert_eq!(notes(&path), [run.id.to_string()]);
}

#[test]
fn older_program_refuses_and_keeps_upgraded_file() {
    let (folder, path, run) = file_with_run();
    let files = || fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    as_later(&[NOTES], || drop(SqliteStore::open(&path).unwrap()));
    let (bytes, names): (_, std::collections::BTreeSet<_>) = (fs::read(&path).unwrap(), files());
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::SchemaTooNew { found: 2, known: 1, .. }), "{error:?}");
    assert_eq!((fs::read(&path).unwrap(), files()), (bytes, names));
    as_later(&[NOTES], || assert_has(&SqliteStore::open(&path).unwrap(), &run));
}

#[test]
fn failed_upgrade_changes_nothing() {
    let (_folder, path, run) = file_with_run();
    let fails = "INSERT INTO conductor_notes SELECT key, NULL FROM conductor_runs";
    let error = as_later(&[NOTES, fails], || SqliteStore::open(&path).unwrap_err());
    assert!(matches!(error, OpenError::Migration { .. }), "{error:?}");
    assert!(open_for(&path, 9).is_empty());
    assert_has(&SqliteStore::open(&path).unwrap(), &run);
}

/// The files of a program that is killed are those that it has at this moment.
#[test]
fn half_an_upgrade_is_not_visible() {
    let (folder, path, run) = file_with_run();
    let killed = folder.path().join("killed.db");
    let wal = |path: &Path| path.with_extension("db-wal");
    let (send, receive) = mpsc::channel();
    let to_upgrade = path.clone();
    let upgrade = thread::spawn(move || {
        as_later(&[ENDLESS], || {
            let mut connection = connect(&to_upgrade, &SqliteOptions::default()).unwrap();
            send.send(connection.get_interrupt_handle()).unwrap();
            execute(&to_upgrade, &mut connection, &SqliteOptions::default(), &inspect::SetupStep::Migrate)
        })
    });
    let started = Instant::now();
    while fs::metadata(wal(&path)).map_or(0, |file| file.len()) < 8 << 20 {
        assert!(started.elapsed() < Duration::from_mins(1) && !upgrade.is_finished());
        thread::sleep(Duration::from_millis(1));
    }
    fs::copy(&path, &killed).unwrap();
    fs::copy(wal(&path), wal(&killed)).unwrap();
    receive.recv().unwrap().interrupt();
    let error = upgrade.join().unwrap().unwrap_err();
    assert!(matches!(error, OpenError::Migration { .. }), "{error:?}");
    for path in [path, killed] {
        assert!(open_for(&path, 9).is_empty());
        assert_has(&SqliteStore::open(&path).unwrap(), &run);
        as_later(&[NOTES], || assert_has(&SqliteStore::open(&path).unwrap(), &run));
        assert_eq!(notes(&path), [run.id.to_string()]);
    }
}

#[test]
fn embedded_tables_are_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    install_into(&mut connection).unwrap();
    let run = submit(&SqliteStore::open_embedded(&path).unwrap());
    connection.execute_batch("CREATE TABLE Conductor_Notes (ours TEXT)").unwrap();
    let error = as_later(&[NOTES], || install_into(&mut connection).unwrap_err());
    assert!(matches!(error, OpenError::NamesInUse { .. }), "{error:?}");
    connection.execute_batch("DROP TABLE Conductor_Notes").unwrap();
    as_later(&[NOTES], || install_into(&mut connection).unwrap());
    assert_eq!(notes(&path), [run.id.to_string()]);
    let error = install_into(&mut connection).unwrap_err();
    assert!(matches!(error, OpenError::SchemaTooNew { found: 2, known: 1, .. }), "{error:?}");
    as_later(&[NOTES], || assert_has(&SqliteStore::open_embedded(&path).unwrap(), &run));
}
