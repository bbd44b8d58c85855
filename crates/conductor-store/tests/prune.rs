//! Runs are removed while others work, across crashes, and the file shrinks.
#![cfg(feature = "sqlite")]

use conductor_conformance::{assert_replays, assert_verified};
use conductor_model::{RunDraft, RunId, TaskDraft, Timestamp};
use conductor_store::{
    Admin, Environment, FanOut, Prune, PruneOutcome, Query, Report, ReportBatch, Scope, SqliteOptions,
    SqliteStore, Step, Store, StoreError, Submit, TaskFilter, Verify,
};
use rusqlite::Connection;
use serde_json::json;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

/// Where the child of a test finds its database.
const DATABASE: &str = "CONDUCTOR_TEST_PRUNE";

struct Place {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pruned.db");
        Self { _folder: folder, path }
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.path).unwrap()
    }
}

fn everything(limit: u32) -> Prune {
    Prune { settled_before: Timestamp::MAX, limit }
}

/// A run of one parent with so many children, which are created and, if asked for, succeed.
fn family(store: &SqliteStore, env: &Environment, children: u32, ends: bool) -> RunId {
    let wide = "x".repeat(300);
    let task = TaskDraft::new("P").input(json!({"fanout": children, "wide": wide}));
    let run = store.submit(&Submit::new(RunDraft::new().task(task).validate().unwrap(), env)).unwrap().run;
    let scope = Scope::Run(run);
    while store.fan_out(&FanOut::new(scope, 500, env)).unwrap().more {}
    if ends {
        let leaves = store.tasks(run, TaskFilter::default(), None, 1000).unwrap().items;
        let done =
            leaves.iter().filter(|task| task.child_counts.is_none()).map(|task| Report::succeeded(task.id));
        let _ = store.report(&ReportBatch::new(done, env)).unwrap();
        loop {
            match store.aggregate(&Step { scope, now: env.now(), limit: 100 }) {
                Ok(done) if done.more => {}
                // Another one's prune may have taken it as soon as it ended.
                Ok(_) | Err(StoreError::RunNotFound(_)) => break,
                Err(fault) => panic!("{fault}"),
            }
        }
    }
    run
}

fn prune_all(store: &SqliteStore, limit: u32) -> PruneOutcome {
    let mut all = PruneOutcome::default();
    loop {
        let done = store.prune(&everything(limit)).unwrap();
        all.runs += done.runs;
        all.tasks += done.tasks;
        all.events += done.events;
        all.bytes += done.bytes;
        if !done.more {
            return all;
        }
    }
}

fn size(path: &Path) -> u64 {
    Connection::open(path).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    std::fs::metadata(path).unwrap().len()
}

fn count(path: &Path, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    Connection::open(path).unwrap().query_row(&sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn nothing_is_left_and_the_file_is_as_small_as_before() {
    let place = Place::new();
    let (store, env) = (place.open(), Environment::system());
    let empty = size(&place.path);
    for _ in 0..5 {
        family(&store, &env, 500, true);
    }
    let full = size(&place.path);
    let pruned = prune_all(&store, 300);
    assert_eq!((pruned.runs, pruned.tasks), (5, 5 * 501));
    for table in ["runs", "tasks", "events", "inputs", "submissions", "joins", "pruned"] {
        assert_eq!(count(&place.path, &format!("conductor_{table}")), 0, "{table}");
    }
    let after = size(&place.path);
    assert!(pruned.bytes > 0 && full > 3 * empty, "{full} bytes of a file of {empty}");
    assert!(after <= empty + 16 * 4096, "{after} bytes are left of {full}, where {empty} were at first");
    assert_eq!(prune_all(&store, 300), PruneOutcome::default());
    assert_verified(&store);
}

#[test]
fn a_database_of_the_callers_keeps_its_free_pages() {
    let place = Place::new();
    let connection = Connection::open(&place.path).unwrap();
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    conductor_store::sqlite::install_into(&mut Connection::open(&place.path).unwrap()).unwrap();
    let store = SqliteStore::open_with(&place.path, SqliteOptions::default().embedded(true)).unwrap();
    family(&store, &Environment::system(), 500, true);
    let pruned = prune_all(&store, 300);
    assert_eq!((pruned.runs, pruned.bytes), (1, 0));
}

#[test]
fn a_prune_without_a_pause_keeps_no_other_thread_waiting() {
    const WRITES: u32 = 20;
    let place = Place::new();
    let (store, env) = (place.open(), Environment::system());
    family(&store, &env, 900, true);
    let (begun, prunes) = (Barrier::new(2), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            begun.wait();
            while store.prune(&everything(20)).unwrap().more {
                prunes.fetch_add(1, Ordering::Relaxed);
            }
        });
        begun.wait();
        for _ in 0..WRITES {
            let run = RunDraft::new().validate().unwrap();
            let _ = store.submit(&Submit::new(run, &env)).unwrap();
        }
        let prunes = prunes.load(Ordering::Relaxed);
        assert!(prunes < 3 * WRITES, "{prunes} transactions beside {WRITES}");
    });
}

#[test]
fn runs_are_removed_while_others_work_and_verify() {
    let place = Place::new();
    let (store, env) = (place.open(), Environment::system());
    let stays = family(&store, &env, 50, false);
    let working = AtomicBool::new(true);
    let (pruned, verified) = thread::scope(|scope| {
        let pruner = scope.spawn(|| {
            let store = place.open();
            let mut runs = 0;
            while working.load(Ordering::Relaxed) {
                runs += store.prune(&everything(40)).unwrap().runs;
            }
            runs + prune_all(&store, 40).runs
        });
        let verifier = scope.spawn(|| {
            let store = place.open();
            let mut events = 0;
            while working.load(Ordering::Relaxed) {
                let found = store.verify(&Verify::all()).unwrap();
                assert_eq!(found.divergences, []);
                events += found.events;
            }
            events
        });
        let workers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (store, env) = (place.open(), Environment::system());
                    for children in 1..40 {
                        family(&store, &env, children, true);
                    }
                })
            })
            .collect();
        let ended = workers.into_iter().map(thread::ScopedJoinHandle::join).all(|end| end.is_ok());
        working.store(false, Ordering::Relaxed);
        assert!(ended);
        (pruner.join().unwrap(), verifier.join().unwrap())
    });
    assert_eq!(pruned, 2 * 39);
    assert!(verified > 0);
    assert_eq!(store.runs(None, 10).unwrap().items.iter().map(|run| run.id).collect::<Vec<_>>(), [stays]);
    assert_replays(&store);
    assert_verified(&store);
}

#[test]
fn what_a_killed_prune_leaves_the_next_one_removes() {
    let place = Place::new();
    let (store, env) = (place.open(), Environment::system());
    let stays = family(&store, &env, 20, false);
    let mut half_gone = 0;
    for _ in 0..12 {
        for _ in 0..3 {
            family(&store, &env, 300, true);
        }
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "child_prunes_until_it_is_killed", "--nocapture"]).env(DATABASE, &place.path);
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        assert!(said.lines().any(|line| line.unwrap().contains("pruned some")), "the child prunes");
        child.kill().unwrap();
        child.wait().unwrap();
        half_gone += count(&place.path, "conductor_pruned");
        assert_verified(&store);
        // Nobody sees what is half gone.
        for run in store.runs(None, 100).unwrap().items {
            let tasks = store.tasks(run.id, TaskFilter::default(), None, 1000).unwrap().items.len();
            assert!(tasks == 21 || tasks == 301, "{tasks}");
        }
    }
    assert!(half_gone > 0, "some of the kills hit a prune");
    let _ = prune_all(&store, 1000);
    assert_eq!(count(&place.path, "conductor_tasks"), 21);
    assert_eq!(store.runs(None, 10).unwrap().items.iter().map(|run| run.id).collect::<Vec<_>>(), [stays]);
    assert_verified(&store);
}

#[test]
fn child_prunes_until_it_is_killed() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let store = SqliteStore::open(path).unwrap();
    let mut tasks = 0;
    loop {
        tasks += store.prune(&everything(7)).unwrap().tasks;
        if tasks > 50 {
            println!("pruned some");
            tasks = 0;
        }
    }
}

#[test]
fn an_adopted_run_with_something_open_below_it_stays() {
    let place = Place::new();
    let (store, env) = (place.open(), Environment::system());
    let run = family(&store, &env, 3, true);
    // As adoption may leave it: what is open below something that had ended stays as it was.
    let other = Connection::open(&place.path).unwrap();
    other.execute_batch("UPDATE conductor_runs SET running = 1, succeeded = succeeded - 1").unwrap();
    assert_eq!(store.prune(&everything(100)).unwrap().runs, 0);
    other.execute_batch("UPDATE conductor_runs SET running = 0, succeeded = succeeded + 1").unwrap();
    other.execute_batch("UPDATE conductor_tasks SET state = 3, due_at = 5 WHERE ordinal = 2").unwrap();
    assert_eq!(store.prune(&everything(100)).unwrap().runs, 0, "a retry is due");
    assert!(store.run(run).unwrap().is_some());
    other.execute_batch("UPDATE conductor_tasks SET state = 2, due_at = NULL WHERE ordinal = 2").unwrap();
    assert_eq!(store.prune(&everything(100)).unwrap().runs, 1);
}
