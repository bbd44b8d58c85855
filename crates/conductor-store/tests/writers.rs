//! Several writers on one file wait for each other.

use conductor_conformance::assert_replays;
use conductor_model::{NewRun, RunDraft, TaskDraft};
use conductor_store::{Environment, Query, Report, ReportBatch, SqliteStore, Store, Submit, TaskFilter};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

const WRITERS: usize = 4;
const RUNS_EACH: usize = 40;

#[test]
fn writers_with_connections_of_their_own_wait_for_their_turn_and_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.db");
    let first = SqliteStore::open(&path).unwrap();
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let (store, env) = (SqliteStore::open(&path).unwrap(), Environment::system());
                for _ in 0..RUNS_EACH {
                    // A submission reads before it writes, and so does a report.
                    let draft = RunDraft::new().task(TaskDraft::new("A")).validate().unwrap();
                    let run = store.submit(&Submit::new(draft, &env)).expect("a turn to submit").run;
                    let task = store.tasks(run, TaskFilter::default(), None, 1).unwrap().items[0].id;
                    let report = ReportBatch::new([Report::succeeded(task)], &env);
                    let answers = store.report(&report).expect("a turn to report");
                    assert_eq!(answers.len(), 1);
                }
            });
        }
    });
    assert_eq!(first.runs(None, 1000).unwrap().items.len(), WRITERS * RUNS_EACH);
    assert_replays(&first);
}

#[test]
fn beside_one_that_writes_nearly_all_the_time_another_process_comes_to_its_turn() {
    const RUNS: u32 = 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.db");
    // A connection of its own is to SQLite what another process is.
    let [busy, other] = [(); 2].map(|()| SqliteStore::open(&path).unwrap());
    let submit = |store: &SqliteStore, run: &NewRun| {
        let request = Submit::new(run.clone(), &Environment::system());
        assert!(store.submit(&request).expect("a turn to submit").created);
    };
    let run = |tasks: u32| {
        let tasks = (0..tasks).map(|nth| TaskDraft::new(format!("t {nth}")));
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
    assert!(written < 10 * RUNS, "{written} transactions of the one while the other had {RUNS}");
}

#[test]
fn what_was_committed_goes_into_the_database_while_nobody_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resting.db");
    let (store, env) = (SqliteStore::open(&path).unwrap(), Environment::system());
    // Without its write-ahead log.
    let in_the_database = || {
        let copy = folder.path().join("copy.db");
        std::fs::copy(&path, &copy).unwrap();
        let copy = rusqlite::Connection::open(&copy).unwrap();
        copy.query_row("SELECT count(*) FROM conductor_runs", [], |row| row.get::<_, u32>(0)).unwrap_or(0)
    };
    let submit = || store.submit(&Submit::new(RunDraft::new().validate().unwrap(), &env)).unwrap();
    submit();
    store.on_idle();
    assert_eq!(in_the_database(), 0, "for one it is not worth the while");
    for _ in 1..40 {
        submit();
    }
    store.on_idle();
    assert_eq!(in_the_database(), 40);
}
