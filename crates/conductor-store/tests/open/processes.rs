//! Several processes open one file at once, and some of them are killed.

use crate::adopt::{events_tell_the_tables, large};
use crate::folder::Folder;
use conductor_model::{RunDraft, TaskDraft};
use conductor_store::{Environment, OpenError, Query, SqliteOptions, SqliteStore, Store, Submit};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const DATABASE: &str = "CONDUCTOR_TEST_DATABASE";
const START: &str = "start";

/// This test again in a process of its own, which waits for the file `start` beside the database.
fn opener(folder: &Folder) -> Child {
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

fn start(folder: &Folder) {
    std::fs::write(folder.path().join(START), "").unwrap();
}

#[track_caller]
fn all_succeed(children: Vec<Child>) {
    for child in children {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    }
}

fn runs(folder: &Folder) -> usize {
    let store = SqliteStore::open(folder.db()).unwrap();
    events_tell_the_tables(&store);
    store.runs(None, 1000).unwrap().items.len()
}

#[test]
fn six_processes_make_one_file_together() {
    for _ in 0..8 {
        let folder = Folder::new();
        let children = (0..6).map(|_| opener(&folder)).collect();
        start(&folder);
        all_succeed(children);
        assert_eq!(runs(&folder), 6);
        assert_eq!(folder.ask::<String>("PRAGMA integrity_check"), "ok");
    }
}

#[test]
fn six_processes_adopt_one_file_together() {
    for _ in 0..8 {
        let folder = large(5);
        let children = (0..6).map(|_| opener(&folder)).collect();
        start(&folder);
        all_succeed(children);
        assert_eq!(runs(&folder), 20 + 6);
    }
}

/// What a killed process left behind: the files and the tables. Looked at in a copy, so that the next open finds the
/// file as it was left.
fn left_behind(folder: &Folder) -> String {
    let copy = Folder::new();
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

/// Kills a process that opens the file after a part of the time that opening takes, then opens it here.
fn killed(make: impl Fn() -> Folder, before: usize) {
    let rehearsal = make();
    start(&rehearsal);
    let began = Instant::now();
    all_succeed(vec![opener(&rehearsal)]);
    let whole = began.elapsed();
    assert_eq!(runs(&rehearsal), before + 1);

    let (mut stages, mut killed_before_the_end) = (BTreeSet::new(), 0);
    for nth in 0..KILLS {
        let folder = make();
        start(&folder);
        let mut child = opener(&folder);
        std::thread::sleep(whole * nth / KILLS);
        child.kill().unwrap();
        let ended = child.wait_with_output().unwrap();
        let by_us = is_killed(ended.status);
        assert!(by_us || ended.status.success(), "{}: {ended:?}", ended.status);
        stages.insert(left_behind(&folder));
        let found = runs(&folder);
        assert!(
            found == before + 1 || found == before && by_us,
            "{found} runs after a kill at {nth}/{KILLS} of {whole:?}, {}",
            ended.status
        );
        killed_before_the_end += usize::from(found == before);
        assert_eq!(folder.ask::<String>("PRAGMA integrity_check"), "ok");
        assert_eq!(folder.ask::<i64>("PRAGMA auto_vacuum"), 2);
    }
    assert!(killed_before_the_end > 0, "every process had submitted its run");
    assert!(stages.len() > 2, "the kills landed at two stages at most: {stages:?}");
}

#[test]
fn a_first_open_that_is_killed_is_finished_by_the_next() {
    killed(Folder::new, 0);
}

#[test]
fn an_adoption_that_is_killed_is_finished_by_the_next_open() {
    killed(|| large(8), 20);
}

#[test]
fn threads_of_one_process_make_one_file_together() {
    let folder = Folder::new();
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
fn an_original_that_another_program_writes_to_is_not_adopted_behind_its_back() {
    let folder = large(1);
    let original = rusqlite::Connection::open(folder.db()).unwrap();
    original.execute_batch("BEGIN IMMEDIATE; UPDATE runs SET state = 'RUNNING'").unwrap();
    let options = SqliteOptions::default().busy_timeout(Duration::from_millis(20));
    let error = SqliteStore::open_with(folder.db(), options).unwrap_err();
    assert!(matches!(error, OpenError::Busy { .. }), "{error:?}");
    original.execute_batch("COMMIT").unwrap();
    drop(original);
    assert_eq!(runs(&folder), 20);
}

/// The lock as a process holds it that sets the file up, or was stopped while it did.
fn held(folder: &Folder) -> std::fs::File {
    let lock = std::fs::File::create(folder.path().join("conductor.db-conductor.lock")).unwrap();
    lock.lock().unwrap();
    lock
}

#[test]
fn a_set_up_by_another_process_that_does_not_end_is_named_and_left_alone() {
    let new = Folder::new();
    let old = Folder::new();
    drop(SqliteStore::open(old.db()).unwrap());
    for folder in [new, old] {
        let lock = held(&folder);
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
fn a_set_up_by_another_process_may_take_longer_than_the_busy_timeout() {
    let folder = Folder::new();
    let lock = held(&folder);
    let release = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        drop(lock);
    });
    let options = SqliteOptions::default().busy_timeout(Duration::ZERO);
    SqliteStore::open_with(folder.db(), options).unwrap();
    release.join().unwrap();
}
