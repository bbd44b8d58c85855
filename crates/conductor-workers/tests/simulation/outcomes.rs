//! The results of a simulation that cannot continue, and invalid settings.

use conductor_model::{RunDraft, RunId, State, TaskDraft, TaskId};
use conductor_store::{Query, SqliteStore, TaskFilter};
use conductor_workers::testing::{Behavior, Simulation};
use conductor_workers::{Blocked, RunError};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

fn store() -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open_in_memory().expect("a store"))
}

fn root_tasks(store: &SqliteStore, run: RunId) -> Vec<TaskId> {
    let page = store.tasks(run, TaskFilter::default(), None, 100).expect("a page");
    page.items.into_iter().filter(|task| task.parent.is_none()).map(|task| task.id).collect()
}

fn blocked(simulation: &mut Simulation, run: RunId) -> Blocked {
    match simulation.run_until_settled(run).expect_err("a blocked run") {
        RunError::Blocked(blocked) => blocked,
        other => panic!("{other}"),
    }
}

#[test]
fn hanging_handler_without_timeout_is_named() {
    for engines in 1..=3 {
        let store = store();
        let mut simulation = Simulation::new(Arc::clone(&store), 1)
            .engines(engines)
            .script("hangs", |_| Behavior::hang())
            .script("works", |_| Behavior::succeed().after(Duration::from_mins(10)));
        let tasks = [("hangs", 0), ("works", 0), ("works", 1)].map(|(kind, hours)| {
            let due = simulation.now().plus_millis(hours * 3_600_000);
            TaskDraft::new(kind).due_at(due)
        });
        let run = simulation.submit(RunDraft::new().tasks(tasks)).expect("a submission");
        let blocked = blocked(&mut simulation, run);
        let tasks = root_tasks(&store, run);
        assert_eq!(blocked.stalled_tasks, tasks[..1]);
        assert!(
            blocked.to_string().ends_with(&format!("handlers hang without a timeout: {}", tasks[0])),
            "{blocked}"
        );
        // All other tasks ran, also the task that was due hours later.
        assert_eq!(store.run(run).expect("an answer").expect("the run").state_counts.succeeded, 2);
    }
}

#[test]
fn tasks_behind_hanging_handlers_are_not_unhandled() {
    let store = store();
    let mut simulation = Simulation::new(Arc::clone(&store), 1)
        .workers(2)
        .script("hangs", |_| Behavior::hang().after(Duration::ZERO));
    let tasks = (0..5).map(|n| TaskDraft::new(format!("t {n}")).kind("hangs"));
    let run = simulation.submit(RunDraft::new().tasks(tasks)).expect("a submission");
    let blocked = blocked(&mut simulation, run);
    assert_eq!((blocked.stalled_tasks.len(), blocked.unhandled_kinds.len()), (2, 0));
}

#[test]
fn hanging_handler_is_awaited_until_process_crashes() {
    for seed in 0..10 {
        let mut simulation = Simulation::new(store(), seed)
            .script(
                "hangs",
                |context| if context.attempt() == 1 { Behavior::hang() } else { Behavior::succeed() },
            )
            .script("kills", |context| match context.attempt() {
                1 => Behavior::crash().after(Duration::from_mins(10)),
                _ => Behavior::succeed(),
            });
        let run = simulation.submit(RunDraft::new().tasks(["hangs", "kills"].map(TaskDraft::new)));
        let run = run.expect("a submission");
        assert_eq!(simulation.run_until_settled(run).expect("an end").state, State::Succeeded, "seed {seed}");
    }
}

#[test]
fn open_fan_out_is_reported_as_blocker() {
    let mut simulation = Simulation::new(store(), 1);
    for draft in [RunDraft::new().open(), RunDraft::new().task(TaskDraft::new("P").open())] {
        let run = simulation.submit(draft).expect("a submission");
        let blocked = blocked(&mut simulation, run);
        assert!(
            blocked.is_open && blocked.unhandled_kinds.is_empty() && blocked.external_tasks.is_empty(),
            "{blocked:?}"
        );
        assert!(blocked.to_string().ends_with("it waits for an append or its seal"), "{blocked}");
    }
}

#[test]
fn run_with_deleted_rows_is_inconsistent() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("damaged.db");
    let mut simulation = Simulation::new(SqliteStore::open(&path).expect("a store"), 1)
        .script("work", |_| Behavior::succeed().after(Duration::from_secs(9)));
    let task = TaskDraft::new("P").kind("work").input(json!({"fanout": 9}));
    let run = simulation.submit(RunDraft::new().task(task)).expect("a submission");
    while simulation.elapsed() < Duration::from_secs(5) {
        simulation.step().expect("a step");
    }
    let damage = rusqlite::Connection::open(&path).expect("the file");
    damage.execute_batch("DELETE FROM conductor_parents").expect("a deletion");
    simulation.wake();
    let error = simulation.run_until_settled(run).expect_err("a blocked run");
    assert!(matches!(error, RunError::Inconsistent(damaged) if damaged == run), "{error}");
}

#[test]
#[should_panic(expected = "must be between 1 and 10000")]
fn invalid_engine_settings_are_rejected() {
    let mut simulation = Simulation::new(store(), 1).workers(0).script("work", |_| Behavior::succeed());
    let run = simulation.submit(RunDraft::new().task(TaskDraft::new("work"))).unwrap();
    let _ = simulation.run_until_settled(run);
}

#[test]
#[should_panic(expected = "kind \"work\" has two handlers; remove one of them")]
fn duplicate_handlers_are_rejected() {
    let _ = Simulation::new(store(), 1)
        .script("work", |_| Behavior::succeed())
        .handler("work", |(): (), _: conductor_workers::Context| Ok(()));
}
