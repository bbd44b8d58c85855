//! Assertions on imported files.

use crate::import_continues::assert_continues;
use crate::legacy_file::{self, task};
use crate::test_folder::TestFolder;
use conductor_conformance::assert_verified;
use conductor_model::{Replay, RunId, State, Task, TaskId};
use conductor_store::{
    Environment, EventFilter, FanOut, OpenError, Query, Report, ReportBatch, Scope, SqliteStore, Step, Store,
    TaskFilter,
};

/// Opens a file of the TypeScript version, after a copy of it was imported and executed to the end.
pub(crate) fn open(folder: &TestFolder) -> SqliteStore {
    assert_continues(folder);
    SqliteStore::open(folder.db()).unwrap()
}

/// Returns why a file of the TypeScript version is rejected. The file must stay as it was.
pub(crate) fn rejection(folder: &TestFolder) -> OpenError {
    let before = folder.content();
    let error = SqliteStore::open(folder.db()).unwrap_err();
    assert_eq!(folder.content(), before, "{error}");
    error
}

pub(crate) fn task_of(store: &SqliteStore, id: TaskId) -> Task {
    store.task(id).unwrap().unwrap()
}

/// The state, and whether the task has a due time.
pub(crate) fn state(store: &SqliteStore, id: TaskId) -> (State, bool) {
    let task = task_of(store, id);
    (task.state, task.due_at.is_some())
}

pub(crate) fn run_state(store: &SqliteStore, run: RunId) -> State {
    store.run(run).unwrap().unwrap().state
}

/// Asserts that the events replay exactly to the rows.
#[track_caller]
pub(crate) fn assert_events_match_rows(store: &SqliteStore) {
    let mut replay = Replay::new();
    let mut cursor = 0;
    loop {
        let page = store.events(EventFilter::default(), cursor, 1000).unwrap();
        page.items.iter().for_each(|event| replay.apply(event).unwrap());
        let Some(next) = page.next else { break };
        cursor = next;
    }
    let mut tasks = 0;
    for run in store.runs(None, 1000).unwrap().items {
        let replayed = replay.run(run.id).unwrap();
        let expected = (replayed.state, replayed.status.counts, replayed.state_counts);
        assert_eq!(expected, (run.state, run.child_counts, run.state_counts), "{run:?}");
        let mut cursor = None;
        loop {
            let page = store.tasks(run.id, TaskFilter::default(), cursor, 1000).unwrap();
            page.items.iter().for_each(|task| assert_task_matches(&replay, task));
            tasks += page.items.len();
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    assert_eq!(replay.task_count(), tasks);
    assert_verified(store);
}

#[track_caller]
fn assert_task_matches(replay: &Replay, task: &Task) {
    let replayed = replay.task(task.id).unwrap();
    assert_eq!(replayed.run, task.run);
    assert_eq!((replayed.parent, replayed.index), (task.parent, task.index), "{task:?}");
    assert_eq!((replayed.state, replayed.child_counts()), (task.state, task.child_counts), "{task:?}");
    assert_eq!((replayed.attempt, replayed.retry_count), (task.attempt, task.retry_count), "{task:?}");
    assert_eq!(replayed.retry_scheduled, task.status().retry_scheduled, "{task:?}");
}

/// Reports all open leaves as succeeded until nothing is left to do.
pub(crate) fn finish(store: &SqliteStore) {
    let env = Environment::system();
    loop {
        let step = Step { scope: Scope::All, now: env.now(), limit: 500 };
        let mut busy = store.fan_out(&FanOut::new(Scope::All, 500, &env)).unwrap().more;
        busy |= store.retry(&step).unwrap().changed > 0;
        for run in store.runs(None, 1000).unwrap().items {
            for state in [State::Pending, State::Running] {
                let page = store.tasks(run.id, TaskFilter { state: Some(state) }, None, 1000).unwrap();
                let leaves = page.items.iter().filter(|task| task.child_counts.is_none());
                let reports: Vec<_> = leaves.map(|task| Report::succeeded(task.id)).collect();
                busy |= !reports.is_empty();
                store.report(&ReportBatch::new(reports, &env)).unwrap();
            }
        }
        busy |= store.aggregate(&step).unwrap().more;
        if !busy {
            return;
        }
    }
}

/// Creates 20 runs of one parent with this number of children, in all states.
pub(crate) fn large(children: usize) -> TestFolder {
    let mut file = legacy_file::file(3);
    let states = ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"];
    file.together(|file| {
        for (i, run_state) in states.iter().cycle().take(20).enumerate() {
            let run = file.run(run_state);
            let input = format!(r#"{{"fanout": {}, "i": {i}}}"#, children + i % 3);
            let parent = file.task(run, &task("PARENT", states[i * 7 % 5]).input(&input));
            for child in 1..=children {
                let state = states[(child * 31 + i) % 5];
                let name = format!("PARENT#{child}");
                let id = file.task(run, &task(&name, state).below(parent).input(r#"{"a": 1}"#));
                if child % 100 == 0 {
                    file.event(run, Some(id), "TASK_STATE", Some(r#"{"a": 1}"#));
                }
            }
        }
    });
    file.close()
}
