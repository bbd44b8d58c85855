//! Runs are pruned beside workers and across crashes, and the file shrinks.

use crate::support::TestStore;
use conductor_conformance::{assert_replays, assert_verified};
use conductor_model::{RunDraft, RunId, TaskDraft, Timestamp};
use conductor_store::{
    Admin, Environment, FanOut, Prune, PruneOutcome, Query, Report, ReportBatch, Scope, SqliteOptions,
    SqliteStore, Step, Store, StoreError, Submit, TaskFilter, Verify,
};
use rusqlite::Connection;
use serde_json::json;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

/// Names the database for the child process.
const DATABASE: &str = "CONDUCTOR_TEST_PRUNE";

fn prune_settled(limit: u32) -> Prune {
    Prune { settled_before: Timestamp::MAX, limit }
}

/// Submits a run of one parent and creates its children. They succeed if `ends` is set.
fn submit_family(store: &SqliteStore, env: &Environment, children: u32, ends: bool) -> RunId {
    let wide = "x".repeat(300);
    let task = TaskDraft::new("P").input(json!({"fanout": children, "wide": wide}));
    let run = store.submit(&Submit::new(RunDraft::new().task(task).validate().unwrap(), env)).unwrap().run;
    let scope = Scope::Run(run);
    while store.fan_out(&FanOut::new(scope, 500, env)).unwrap().more {}
    if ends {
        let tasks = store.tasks(run, TaskFilter::default(), None, 1000).unwrap().items;
        let reports =
            tasks.iter().filter(|task| task.child_counts.is_none()).map(|task| Report::succeeded(task.id));
        let _ = store.report(&ReportBatch::new(reports, env)).unwrap();
        loop {
            match store.aggregate(&Step { scope, now: env.now(), limit: 100 }) {
                Ok(outcome) if outcome.more => {}
                // Another thread may prune the run as soon as it has settled.
                Ok(_) | Err(StoreError::RunNotFound(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    run
}

fn prune_all(store: &SqliteStore, limit: u32) -> PruneOutcome {
    let mut all = PruneOutcome::default();
    loop {
        let outcome = store.prune(&prune_settled(limit)).unwrap();
        all.runs += outcome.runs;
        all.tasks += outcome.tasks;
        all.events += outcome.events;
        all.bytes += outcome.bytes;
        if !outcome.more {
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
fn pruned_file_shrinks_to_initial_size() {
    let test = TestStore::new();
    let (store, env) = (&test.store, Environment::system());
    let empty = size(&test.path());
    for _ in 0..20 {
        submit_family(store, &env, 500, true);
    }
    let full = size(&test.path());
    let pruned = prune_all(store, 300);
    assert_eq!((pruned.runs, pruned.tasks), (20, 20 * 501));
    // tests/tables.rs has the other tables.
    for table in ["runs", "blocks", "events", "prune_queue"] {
        assert_eq!(count(&test.path(), &format!("conductor_{table}")), 0, "{table}");
    }
    let after = size(&test.path());
    assert!(pruned.bytes > 0 && full > 3 * empty, "the file grew from {empty} to {full} bytes");
    assert!(after <= empty + 16 * 4096, "the file had {empty} bytes, then {full}, now {after}");
    assert_eq!(prune_all(store, 300), PruneOutcome::default());
    assert_verified(store);
}

#[test]
fn embedded_database_keeps_free_pages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.db");
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    conductor_store::sqlite::install_into(&mut Connection::open(&path).unwrap()).unwrap();
    let store = SqliteStore::open_with(&path, SqliteOptions::default().embedded(true)).unwrap();
    submit_family(&store, &Environment::system(), 500, true);
    let pruned = prune_all(&store, 300);
    assert_eq!((pruned.runs, pruned.bytes), (1, 0));
}

#[test]
fn continuous_prune_does_not_block_writers() {
    const WRITES: usize = 20;
    let test = TestStore::new();
    let (store, env) = (&test.store, Environment::system());
    for _ in 0..5 {
        submit_family(store, &env, 900, true);
    }
    let (start, prunes) = (Barrier::new(2), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            while store.prune(&prune_settled(20)).unwrap().more {
                prunes.fetch_add(1, Ordering::Relaxed);
            }
        });
        start.wait();
        let mut during: Vec<u32> = (0..WRITES)
            .map(|_| {
                let (run, before) = (RunDraft::new().validate().unwrap(), prunes.load(Ordering::Relaxed));
                let _ = store.submit(&Submit::new(run, &env)).unwrap();
                prunes.load(Ordering::Relaxed) - before
            })
            .collect();
        // On a busy machine, a thread may get no processor for some time. A writer that waits for all prunes would see
        // hundreds.
        during.sort_unstable();
        assert!(during[during.len() / 2] < 5, "prune transactions beside each write: {during:?}");
    });
}

#[test]
fn prune_runs_beside_workers_and_verify() {
    let test = TestStore::new();
    let (store, env) = (&test.store, Environment::system());
    let kept = submit_family(store, &env, 50, false);
    let working = AtomicBool::new(true);
    let (pruned, verified) = thread::scope(|scope| {
        let pruner = scope.spawn(|| {
            let store = SqliteStore::open(test.path()).unwrap();
            let mut runs = 0;
            while working.load(Ordering::Relaxed) {
                runs += store.prune(&prune_settled(40)).unwrap().runs;
            }
            runs + prune_all(&store, 40).runs
        });
        let verifier = scope.spawn(|| {
            let store = SqliteStore::open(test.path()).unwrap();
            let mut events = 0;
            while working.load(Ordering::Relaxed) {
                let report = store.verify(&Verify::all()).unwrap();
                assert_eq!(report.divergences, []);
                events += report.events;
            }
            events
        });
        let workers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (store, env) = (SqliteStore::open(test.path()).unwrap(), Environment::system());
                    for children in 1..40 {
                        submit_family(&store, &env, children, true);
                    }
                })
            })
            .collect();
        let all_succeeded =
            workers.into_iter().map(thread::ScopedJoinHandle::join).all(|result| result.is_ok());
        working.store(false, Ordering::Relaxed);
        assert!(all_succeeded);
        (pruner.join().unwrap(), verifier.join().unwrap())
    });
    assert_eq!(pruned, 2 * 39);
    assert!(verified > 0);
    assert_eq!(store.runs(None, 10).unwrap().items.iter().map(|run| run.id).collect::<Vec<_>>(), [kept]);
    assert_replays(store);
    assert_verified(store);
}

#[test]
fn next_prune_completes_killed_prune() {
    let test = TestStore::new();
    let (store, env) = (&test.store, Environment::system());
    let kept = submit_family(store, &env, 20, false);
    let mut interrupted = 0;
    for _ in 0..12 {
        for _ in 0..3 {
            submit_family(store, &env, 300, true);
        }
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "prune::child_prunes_until_killed", "--nocapture"]).env(DATABASE, test.path());
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        assert!(output.lines().any(|line| line.unwrap().contains("pruned some")), "the child prunes");
        child.kill().unwrap();
        child.wait().unwrap();
        interrupted += count(&test.path(), "conductor_prune_queue");
        assert_verified(store);
        // A run that is being pruned is not visible.
        for run in store.runs(None, 100).unwrap().items {
            let tasks = store.tasks(run.id, TaskFilter::default(), None, 1000).unwrap().items.len();
            assert!(tasks == 21 || tasks == 301, "{tasks}");
        }
    }
    assert!(interrupted > 0, "no kill interrupted a prune");
    let _ = prune_all(store, 1000);
    assert_eq!(count(&test.path(), "conductor_blocks"), 2);
    assert_eq!(store.runs(None, 10).unwrap().items.iter().map(|run| run.id).collect::<Vec<_>>(), [kept]);
    assert_verified(store);
}

#[test]
fn child_prunes_until_killed() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let store = SqliteStore::open(path).unwrap();
    let mut tasks = 0;
    loop {
        tasks += store.prune(&prune_settled(7)).unwrap().tasks;
        if tasks > 50 {
            println!("pruned some");
            tasks = 0;
        }
    }
}

#[test]
fn run_with_open_task_is_kept() {
    let test = TestStore::new();
    let (store, env) = (&test.store, Environment::system());
    let run = submit_family(store, &env, 3, true);
    // An import can leave an open task below a settled parent.
    let other = test.connect();
    other.execute_batch("UPDATE conductor_runs SET running = 1, succeeded = succeeded - 1").unwrap();
    assert_eq!(store.prune(&prune_settled(1000)).unwrap().runs, 0);
    other.execute_batch("UPDATE conductor_runs SET running = 0, succeeded = succeeded + 1").unwrap();
    // The second child fails with a retry.
    let fail = "INSERT INTO conductor_ranges \
         (block, first, last, state, due_at, attempt, retry_count, since, run, parent, kind, priority) \
         SELECT block, 1, 1, 3, 5, 1, 0, 0, run, parent, kind, priority FROM conductor_blocks WHERE block = 2";
    other.execute_batch(fail).unwrap();
    assert_eq!(store.prune(&prune_settled(1000)).unwrap().runs, 0, "a retry is due");
    assert!(store.run(run).unwrap().is_some());
    other.execute_batch("DELETE FROM conductor_ranges").unwrap();
    assert_eq!(store.prune(&prune_settled(1000)).unwrap().runs, 1);
}
