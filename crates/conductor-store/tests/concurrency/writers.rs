//! Writers on one file wait for each other, and an idle store moves the log into the database.

use crate::support::TestStore;
use conductor_conformance::assert_replays;
use conductor_model::{NewRun, RunDraft, TaskDraft};
use conductor_store::{Environment, Query, Report, ReportBatch, SqliteStore, Store, Submit, TaskFilter};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

const WRITERS: usize = 4;
const RUNS_EACH: usize = 40;

#[test]
fn concurrent_writers_wait_and_none_fails() {
    let test = TestStore::new();
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let (store, env) = (SqliteStore::open(test.path()).unwrap(), Environment::system());
                for _ in 0..RUNS_EACH {
                    // A submission reads before it writes; a report does the same.
                    let draft = RunDraft::new().task(TaskDraft::new("A")).validate().unwrap();
                    let run = store
                        .submit(&Submit::new(draft, &env))
                        .expect("the submission waits for the lock")
                        .run;
                    let task = store.tasks(run, TaskFilter::default(), None, 1).unwrap().items[0].id;
                    let report = ReportBatch::new([Report::succeeded(task)], &env);
                    let answers = store.report(&report).expect("the report waits for the lock");
                    assert_eq!(answers.len(), 1);
                }
            });
        }
    });
    assert_eq!(test.store.runs(None, 1000).unwrap().items.len(), WRITERS * RUNS_EACH);
    assert_replays(&test.store);
}

#[test]
fn busy_writer_does_not_block_other_process() {
    const RUNS: u32 = 20;
    let test = TestStore::new();
    // SQLite treats another connection like another process.
    let [busy, other] = [(); 2].map(|()| SqliteStore::open(test.path()).unwrap());
    let submit = |store: &SqliteStore, run: &NewRun| {
        let request = Submit::new(run.clone(), &Environment::system());
        assert!(store.submit(&request).expect("the submission waits for the lock").created);
    };
    let run = |tasks: u32| {
        let tasks = (0..tasks).map(|i| TaskDraft::new(format!("t {i}")));
        RunDraft::new().tasks(tasks).validate().unwrap()
    };
    let (written, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let large = run(300);
            while !is_over.load(Ordering::SeqCst) {
                submit(&busy, &large);
                written.fetch_add(1, Ordering::SeqCst);
            }
        });
        for _ in 0..RUNS {
            let before = written.load(Ordering::SeqCst);
            while written.load(Ordering::SeqCst) == before {
                thread::yield_now();
            }
            submit(&other, &run(1));
        }
        is_over.store(true, Ordering::SeqCst);
    });
    let written = written.into_inner();
    assert!(written < 10 * RUNS, "the busy writer committed {written} transactions, the other one {RUNS}");
}

#[test]
fn idle_store_checkpoints_large_wal() {
    let test = TestStore::new();
    // Counts the runs in the database without its write-ahead log.
    let checkpointed_runs = || {
        let copy = test.path().with_extension("copy");
        std::fs::copy(test.path(), &copy).unwrap();
        let copy = rusqlite::Connection::open(&copy).unwrap();
        copy.query_row("SELECT count(*) FROM conductor_runs", [], |row| row.get::<_, u32>(0)).unwrap()
    };
    test.submit(&RunDraft::new());
    test.store.on_idle();
    assert_eq!(checkpointed_runs(), 0, "a small log is not checkpointed");
    for _ in 1..40 {
        test.submit(&RunDraft::new());
    }
    test.store.on_idle();
    assert_eq!(checkpointed_runs(), 40);
}
