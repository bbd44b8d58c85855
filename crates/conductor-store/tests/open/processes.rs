//! Several processes open one file at once, and some of them are killed.

use crate::import_helpers::{assert_events_match_rows, large};
use crate::test_folder::TestFolder;
use conductor_model::{RunDraft, TaskDraft};
use conductor_store::{Environment, OpenError, Query, SqliteOptions, SqliteStore, Store, Submit};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const DATABASE: &str = "CONDUCTOR_TEST_DATABASE";
const START: &str = "start";

/// Starts a process that waits for the file `start` beside the database, then opens it.
fn start_opener(folder: &TestFolder) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "processes::child_opens_and_submits"]).env(DATABASE, folder.db());
    child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn child_opens_and_submits() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let path = Path::new(&path);
    while !path.with_file_name(START).exists() {
        std::thread::yield_now();
    }
    let store = SqliteStore::open(path).unwrap();
    let run = RunDraft::new().task(TaskDraft::new("A")).validate().unwrap();
    store.submit(&Submit::new(run, &Environment::system())).unwrap();
}

/// Lets the waiting processes continue.
fn release(folder: &TestFolder) {
    std::fs::write(folder.path().join(START), "").unwrap();
}

#[track_caller]
fn assert_all_succeed(children: Vec<Child>) {
    for child in children {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    }
}

/// Opens the file, checks it and counts its runs.
fn runs(folder: &TestFolder) -> usize {
    let store = SqliteStore::open(folder.db()).unwrap();
    assert_events_match_rows(&store);
    store.runs(None, 1000).unwrap().items.len()
}

#[test]
fn six_processes_create_one_file() {
    for _ in 0..8 {
        let folder = TestFolder::new();
        let children = (0..6).map(|_| start_opener(&folder)).collect();
        release(&folder);
        assert_all_succeed(children);
        assert_eq!(runs(&folder), 6);
        assert_eq!(folder.ask::<String>("PRAGMA integrity_check"), "ok");
    }
}

#[test]
fn six_processes_import_one_file() {
    for _ in 0..8 {
        let folder = large(5);
        let children = (0..6).map(|_| start_opener(&folder)).collect();
        release(&folder);
        assert_all_succeed(children);
        assert_eq!(runs(&folder), 20 + 6);
    }
}

/// Describes the files and tables that a killed process left. Reads a copy, so that the next open finds the original.
fn remains(folder: &TestFolder) -> String {
    let copy = TestFolder::new();
    for name in folder.names() {
        std::fs::copy(folder.path().join(&name), copy.path().join(&name)).unwrap();
    }
    let tables = if copy.db().exists() {
        copy.ask::<Option<String>>(
            "SELECT group_concat(type || ' ' || name ORDER BY name) FROM sqlite_schema",
        )
    } else {
        None
    };
    format!("{:?} with {tables:?}", folder.names())
}

#[cfg(unix)]
fn is_killed(ended: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&ended) == Some(9)
}

#[cfg(not(unix))]
fn is_killed(ended: ExitStatus) -> bool {
    !ended.success()
}

const KILLS: u32 = 30;

/// Kills processes at different moments while they open a file. The next open must complete the work.
fn assert_kills_are_survived(make: impl Fn() -> TestFolder, before: usize) {
    let rehearsal = make();
    release(&rehearsal);
    let began = Instant::now();
    assert_all_succeed(vec![start_opener(&rehearsal)]);
    let whole = began.elapsed();
    assert_eq!(runs(&rehearsal), before + 1);

    let (mut stages, mut killed_before_submit) = (BTreeSet::new(), 0);
    for i in 0..KILLS {
        let folder = make();
        release(&folder);
        let mut child = start_opener(&folder);
        std::thread::sleep(whole * i / KILLS);
        child.kill().unwrap();
        let ended = child.wait_with_output().unwrap();
        let was_killed = is_killed(ended.status);
        assert!(was_killed || ended.status.success(), "{}: {ended:?}", ended.status);
        stages.insert(remains(&folder));
        let found = runs(&folder);
        assert!(
            found == before + 1 || found == before && was_killed,
            "{found} runs after a kill at {i}/{KILLS} of {whole:?}, {}",
            ended.status
        );
        killed_before_submit += usize::from(found == before);
        assert_eq!(folder.ask::<String>("PRAGMA integrity_check"), "ok");
        assert_eq!(folder.ask::<i64>("PRAGMA auto_vacuum"), 2);
    }
    assert!(killed_before_submit > 0, "no process was killed before it submitted its run");
    assert!(stages.len() > 2, "the kills hit two stages or fewer: {stages:?}");
}

#[test]
fn killed_first_open_is_completed_by_next() {
    assert_kills_are_survived(TestFolder::new, 0);
}

#[test]
fn killed_import_is_completed_by_next_open() {
    assert_kills_are_survived(|| large(8), 20);
}

#[test]
fn threads_create_one_file() {
    let folder = TestFolder::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let store = SqliteStore::open(folder.db()).unwrap();
                let run = RunDraft::new().task(TaskDraft::new("A")).validate().unwrap();
                store.submit(&Submit::new(run, &Environment::system())).unwrap();
            });
        }
    });
    assert_eq!(runs(&folder), 8);
}

#[test]
fn import_during_legacy_write_is_busy() {
    let folder = large(1);
    let legacy = rusqlite::Connection::open(folder.db()).unwrap();
    legacy.execute_batch("BEGIN IMMEDIATE; UPDATE runs SET state = 'RUNNING'").unwrap();
    let options = SqliteOptions::default().busy_timeout(Duration::from_millis(20));
    let error = SqliteStore::open_with(folder.db(), options).unwrap_err();
    assert!(matches!(error, OpenError::Busy { .. }), "{error:?}");
    legacy.execute_batch("COMMIT").unwrap();
    drop(legacy);
    assert_eq!(runs(&folder), 20);
}

/// Takes the setup lock, as a process that sets the file up.
fn lock_setup(folder: &TestFolder) -> std::fs::File {
    let lock = std::fs::File::create(folder.path().join("conductor.db-conductor.lock")).unwrap();
    lock.lock().unwrap();
    lock
}

#[test]
fn stuck_setup_lock_is_reported() {
    let new = TestFolder::new();
    let old = TestFolder::new();
    drop(SqliteStore::open(old.db()).unwrap());
    for folder in [new, old] {
        let lock = lock_setup(&folder);
        let before = folder.names();
        let options = SqliteOptions::default().setup_timeout(Duration::from_millis(30));
        let began = Instant::now();
        let error = SqliteStore::open_with(folder.db(), options).unwrap_err();
        assert!(began.elapsed() >= Duration::from_millis(30));
        let OpenError::SetupInProgress { lock: named, .. } = &error else { panic!("{error:?}") };
        assert!(named.ends_with("conductor.db-conductor.lock"), "{error}");
        assert_eq!(folder.names(), before);
        drop(lock);
        assert_eq!(runs(&folder), 0);
    }
}

#[test]
fn setup_wait_outlasts_busy_timeout() {
    let folder = TestFolder::new();
    let lock = lock_setup(&folder);
    let owner = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        drop(lock);
    });
    let options = SqliteOptions::default().busy_timeout(Duration::ZERO);
    SqliteStore::open_with(folder.db(), options).unwrap();
    owner.join().unwrap();
}
