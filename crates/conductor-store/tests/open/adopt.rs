//! A file of the original goes on with us.

use crate::folder::Folder;
use crate::seed::{self, THEN, task};
use conductor_model::{ChildCounts, EventBody, Replay, RunId, State, Task, TaskId};
use conductor_store::{
    Claim, Environment, EventFilter, FanOut, KindQuota, Query, RegisterEngine, Report, ReportBatch, Scope,
    SqliteStore, Step, Store, TaskFilter,
};
use std::time::Instant;

pub(crate) fn task_of(store: &SqliteStore, id: TaskId) -> Task {
    store.task(id).unwrap().unwrap()
}

fn state(store: &SqliteStore, id: TaskId) -> (State, bool) {
    let task = task_of(store, id);
    (task.state, task.due_at.is_some())
}

fn run_state(store: &SqliteStore, run: RunId) -> State {
    store.run(run).unwrap().unwrap().state
}

/// Everything that the events tell is what the tables hold.
#[track_caller]
pub(crate) fn events_tell_the_tables(store: &SqliteStore) {
    let mut replay = Replay::new();
    let mut after = 0;
    loop {
        let page = store.events(EventFilter::default(), after, 1000).unwrap();
        page.items.iter().for_each(|event| replay.apply(event).unwrap());
        let Some(next) = page.next else { break };
        after = next;
    }
    let mut tasks = 0;
    for run in store.runs(None, 1000).unwrap().items {
        let told = replay.run(run.id).unwrap();
        assert_eq!(
            (told.state, told.status.counts, told.state_counts),
            (run.state, run.child_counts, run.state_counts),
            "{run:?}"
        );
        let mut after = None;
        loop {
            let page = store.tasks(run.id, TaskFilter::default(), after, 1000).unwrap();
            for task in &page.items {
                let told = replay.task(task.id).unwrap();
                assert_eq!(told.run, task.run);
                assert_eq!((told.parent, told.index), (task.parent, task.index), "{task:?}");
                assert_eq!((told.state, told.child_counts()), (task.state, task.child_counts), "{task:?}");
                assert_eq!((told.attempt, told.retry_count), (task.attempt, task.retry_count), "{task:?}");
                assert_eq!(told.retry_due, task.status().retry_due, "{task:?}");
            }
            tasks += page.items.len();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    assert_eq!(replay.task_count(), tasks);
    conductor_conformance::assert_verified(store);
}

/// Does what the workers do until nothing is left; every leaf that waits or runs succeeds.
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

#[test]
fn every_row_is_carried_over_as_it_was() {
    let mut seed = seed::file(3);
    let run = seed.run("RUNNING");
    let parent = seed.task(run, &task("PARENT", "RUNNING").input(r#"{"fanout": 3, "width": 80}"#));
    let first = seed.task(run, &task("PARENT#1", "SUCCEEDED").below(parent));
    let second =
        seed.task(run, &task("PARENT#2", "RUNNING").below(parent).input(r#"{"own": 1.50}"#).retries(1, 5));
    let alone = seed.task(run, &task("ALONE", "PENDING"));
    seed.sql("UPDATE tasks SET output = '{\"n\": 0}' WHERE name = 'PARENT#1'");
    let created = seed.event(run, None, "RUN_CREATED", None);
    let moved = seed.event(run, Some(first), "TASK_STATE", Some(r#"{"to": "SUCCEEDED"}"#));
    let folder = seed.close();

    let store = SqliteStore::open(folder.db()).unwrap();
    let it = store.run(run).unwrap().unwrap();
    assert_eq!(
        (it.state, it.created_at.to_string(), it.updated_at.to_string()),
        (State::Running, THEN.into(), THEN.into())
    );
    assert_eq!(it.meta.unwrap().as_str(), r#"{"by": "original"}"#);
    assert_eq!(it.child_counts, ChildCounts { total: Some(2), created: 2, open: 2, failed: 0, cancelled: 0 });
    assert_eq!(
        (
            it.state_counts.pending,
            it.state_counts.running,
            it.state_counts.succeeded,
            it.state_counts.total()
        ),
        (1, 2, 1, 4)
    );

    let it = task_of(&store, parent);
    assert_eq!(
        it.child_counts,
        Some(ChildCounts { total: Some(3), created: 2, open: 1, failed: 0, cancelled: 0 })
    );
    assert_eq!((it.index, it.name.as_str(), it.kind.as_str()), (1, "PARENT", "PARENT"));
    let it = task_of(&store, first);
    assert_eq!((it.index, it.name.as_str(), it.kind.as_str(), it.attempt), (1, "PARENT#1", "PARENT", 1));
    assert_eq!((it.input.unwrap().as_str(), it.output.unwrap().as_str()), ("null", r#"{"n": 0}"#));
    let it = task_of(&store, second);
    assert_eq!((it.state, it.attempt, it.retry_count, it.max_retries.get()), (State::Running, 2, 1, 5));
    assert_eq!((it.input.unwrap().as_str(), it.last_error.unwrap().as_str()), (r#"{"own": 1.50}"#, "over"));
    assert_eq!((it.created_at.to_string(), it.updated_at.to_string()), (THEN.into(), THEN.into()));
    let it = task_of(&store, alone);
    assert_eq!((it.index, it.state, it.attempt, it.input), (2, State::Pending, 0, None));

    let events = store.events(EventFilter::default(), 0, 1000).unwrap().items;
    let bodies: Vec<_> = events.iter().map(|event| (event.task, &event.body)).collect();
    let (name, payload) = ("TASK_STATE".into(), Some(r#"{"to": "SUCCEEDED"}"#.into()));
    assert_eq!(
        bodies[0],
        (None, &EventBody::Legacy { id: created.clone(), name: "RUN_CREATED".into(), payload: None })
    );
    assert_eq!(bodies[1], (Some(first), &EventBody::Legacy { id: moved.clone(), name, payload }));
    assert_eq!(events[1].at.to_string(), THEN);
    let names: Vec<_> = events[2..].iter().map(|event| event.body.name()).collect();
    assert_eq!(names, ["run.adopted", "task.adopted", "task.adopted", "task.adopted", "task.adopted"]);
    let shown =
        "SELECT group_concat(id || name || coalesce(payload, '')) FROM (SELECT * FROM events LIMIT 2)";
    assert_eq!(
        folder.ask::<String>(shown),
        format!("{created}RUN_CREATED,{moved}TASK_STATE{}", r#"{"to": "SUCCEEDED"}"#)
    );
    events_tell_the_tables(&store);
}

#[test]
fn an_adopted_file_has_our_layout_and_nothing_of_the_original() {
    let mut seed = seed::file(3);
    seed.sql("CREATE INDEX idx_tasks_run_id ON tasks (run_id); CREATE TABLE migrations (name TEXT)");
    seed.run("PENDING");
    let folder = seed.close();
    drop(SqliteStore::open(folder.db()).unwrap());
    assert_eq!(folder.ask::<String>("PRAGMA journal_mode"), "wal");
    assert_eq!(folder.ask::<i64>("PRAGMA auto_vacuum"), 2);
    assert_eq!(folder.ask::<i64>("PRAGMA freelist_count"), 0);
    assert_eq!(folder.ask::<String>("PRAGMA integrity_check"), "ok");
    let left = "SELECT coalesce(group_concat(name), '') FROM sqlite_master WHERE type != 'view' \
        AND name NOT LIKE 'conductor%' AND name NOT LIKE 'sqlite%'";
    assert_eq!(folder.ask::<String>(left), "migrations");
    assert_eq!(
        folder.ask::<i64>("SELECT count(*) FROM sqlite_master WHERE name LIKE 'conductor_original%'"),
        0
    );
    assert_eq!(folder.names(), ["conductor.db", "conductor.db-conductor.lock"]);
}

#[test]
fn a_file_from_before_the_third_migration_is_adopted() {
    let mut seed = seed::file(2);
    let run = seed.run("RUNNING");
    let failed = seed.task(run, &task("A", "FAILED"));
    let folder = seed.close();
    let store = SqliteStore::open(folder.db()).unwrap();
    let it = task_of(&store, failed);
    assert_eq!((it.retry_count, it.max_retries.get(), it.last_error), (0, 3, None));
    assert_eq!(state(&store, failed), (State::Failed, true));
}

#[test]
fn a_file_in_wal_mode_and_an_empty_one_are_adopted() {
    let mut seed = seed::file(3);
    seed.sql("PRAGMA journal_mode = WAL");
    let run = seed.run("PENDING");
    let folder = seed.close();
    let store = SqliteStore::open(folder.db()).unwrap();
    assert_eq!(run_state(&store, run), State::Pending);

    let folder = seed::file(3).close();
    let store = SqliteStore::open(folder.db()).unwrap();
    assert!(store.runs(None, 10).unwrap().items.is_empty());
}

#[test]
fn failures_with_retries_left_come_due_and_what_failed_above_them_reopens() {
    let mut seed = seed::file(3);
    let run = seed.run("FAILED");
    let parent = seed.task(run, &task("P", "FAILED").input(r#"{"fanout": 2}"#));
    let inner = seed.task(run, &task("P#1", "FAILED").below(parent).input(r#"{"fanout": 2}"#));
    let again = seed.task(run, &task("P#1#1", "FAILED").below(inner).retries(2, 3));
    let spent = seed.task(run, &task("P#1#2", "FAILED").below(inner).retries(3, 3));
    let good = seed.task(run, &task("P#2", "SUCCEEDED").below(parent));
    let other = seed.run("FAILED");
    let final_parent = seed.task(other, &task("F", "FAILED").input(r#"{"fanout": 1}"#));
    let final_child = seed.task(other, &task("F#1", "FAILED").below(final_parent).retries(0, 0));
    let folder = seed.close();

    let store = SqliteStore::open(folder.db()).unwrap();
    assert_eq!(state(&store, again), (State::Failed, true));
    assert_eq!(state(&store, spent), (State::Failed, false));
    assert_eq!(state(&store, inner), (State::Running, false));
    assert_eq!(state(&store, parent), (State::Running, false));
    assert_eq!(state(&store, good), (State::Succeeded, false));
    assert_eq!(run_state(&store, run), State::Running);
    assert_eq!(state(&store, final_child), (State::Failed, false));
    assert_eq!(state(&store, final_parent), (State::Failed, false));
    assert_eq!(run_state(&store, other), State::Failed);
    assert_ne!(task_of(&store, parent).updated_at.to_string(), THEN);
    assert_eq!(task_of(&store, final_parent).updated_at.to_string(), THEN);
    events_tell_the_tables(&store);

    finish(&store);
    assert_eq!(state(&store, again), (State::Succeeded, false));
    assert_eq!(state(&store, inner), (State::Failed, false));
    assert_eq!(run_state(&store, run), State::Failed);
    events_tell_the_tables(&store);
}

#[test]
fn a_failure_below_a_succeeded_or_cancelled_ancestor_is_final() {
    let mut seed = seed::file(3);
    let mut below = Vec::new();
    for (run_state, root_state) in
        [("SUCCEEDED", "FAILED"), ("CANCELLED", "FAILED"), ("RUNNING", "SUCCEEDED"), ("FAILED", "CANCELLED")]
    {
        let run = seed.run(run_state);
        let root = seed.task(run, &task("R", root_state).input(r#"{"fanout": 1}"#));
        let child = seed.task(run, &task("R#1", "FAILED").below(root).input(r#"{"fanout": 1}"#));
        below.push((run, run_state, root, root_state, seed.task(run, &task("R#1#1", "FAILED").below(child))));
    }
    let folder = seed.close();
    let store = SqliteStore::open(folder.db()).unwrap();
    for (run, expected, root, root_expected, leaf) in below {
        assert_eq!(state(&store, leaf), (State::Failed, false));
        assert_eq!(state(&store, root).0.as_str(), root_expected);
        assert_eq!(run_state(&store, run).as_str(), expected);
    }
    events_tell_the_tables(&store);
}

#[test]
fn what_is_open_below_a_cancelled_ancestor_is_cancelled_and_below_a_succeeded_one_goes_on() {
    let mut seed = seed::file(3);
    let mut trees = Vec::new();
    for root in ["CANCELLED", "SUCCEEDED"] {
        let run = seed.run("RUNNING");
        let root = seed.task(run, &task("R", root).input(r#"{"fanout": 3}"#));
        let waits = seed.task(run, &task("R#1", "PENDING").below(root));
        let runs = seed.task(run, &task("R#2", "RUNNING").below(root));
        let parent = seed.task(run, &task("R#3", "PENDING").below(root).input(r#"{"fanout": 2}"#));
        trees.push((root, [waits, runs, parent]));
    }
    let folder = seed.close();
    let store = SqliteStore::open(folder.db()).unwrap();
    let [(cancelled, below_cancelled), (succeeded, below_succeeded)] = trees[..] else { panic!() };
    assert!(below_cancelled.iter().all(|task| state(&store, *task).0 == State::Cancelled));
    assert_eq!(task_of(&store, cancelled).child_counts.unwrap().cancelled, 3);
    assert_eq!(
        below_succeeded.map(|task| state(&store, task).0),
        [State::Pending, State::Running, State::Pending]
    );
    events_tell_the_tables(&store);
    finish(&store);
    assert!(below_succeeded.iter().all(|task| state(&store, *task).0 == State::Succeeded));
    assert_eq!(
        (state(&store, succeeded).0, state(&store, cancelled).0),
        (State::Succeeded, State::Cancelled)
    );
    events_tell_the_tables(&store);
}

#[test]
fn a_fan_out_that_was_interrupted_goes_on() {
    let mut seed = seed::file(3);
    let run = seed.run("PENDING");
    let parent = seed.task(run, &task("P", "PENDING").input(r#"{"fanout": 5, "a": 1}"#));
    for nth in 1..=2 {
        seed.task(run, &task(&format!("P#{nth}"), "SUCCEEDED").below(parent).input("{}"));
    }
    let untouched = seed.task(run, &task("Q", "PENDING").input(r#"{"fanout": 2}"#));
    let failed = seed.task(run, &task("F", "FAILED").input(r#"{"fanout": 2}"#));
    let folder = seed.close();
    let store = SqliteStore::open(folder.db()).unwrap();
    assert_eq!(state(&store, parent), (State::Running, false));
    assert_eq!(state(&store, untouched), (State::Pending, false));
    assert_eq!(state(&store, failed), (State::Pending, false), "its retry is its fan-out");
    assert_eq!(run_state(&store, run), State::Running);
    finish(&store);
    let children = store.children(parent, 0, 10).unwrap().items;
    let names: Vec<_> = children.iter().map(|child| child.name.as_str()).collect();
    assert_eq!(names, ["P#1", "P#2", "P#3", "P#4", "P#5"]);
    assert_eq!(children[4].input.as_ref().unwrap().as_str(), r#"{"a":1}"#);
    assert_eq!(run_state(&store, run), State::Succeeded);
    assert_eq!(store.run(run).unwrap().unwrap().state_counts.total(), 3 + 5 + 2 + 2);
    events_tell_the_tables(&store);
}

#[test]
fn children_of_a_parent_without_a_fan_out_keep_their_names_and_fill_the_free_indices() {
    let mut seed = seed::file(3);
    let run = seed.run("RUNNING");
    let parent = seed.task(run, &task("P", "RUNNING").input(r#"{"fanout": 0}"#));
    let rows = [("b", 1), ("P#2", 2), ("a", 3), ("P#07", 4), ("P#9", 9), ("Q#5", 5)];
    let ids = rows.map(|(name, _)| seed.task(run, &task(name, "SUCCEEDED").below(parent)));
    let below = seed.task(run, &task("b#1", "SUCCEEDED").below(ids[0]));
    let root = seed.task(run, &task("R#1", "SUCCEEDED"));
    let folder = seed.close();
    let store = SqliteStore::open(folder.db()).unwrap();
    for (id, (name, index)) in ids.into_iter().zip(rows) {
        let it = task_of(&store, id);
        assert_eq!((it.name.as_str(), it.index, it.kind.as_str()), (name, index, "P"));
    }
    assert_eq!((task_of(&store, below).index, task_of(&store, below).kind.as_str()), (1, "P"));
    assert_eq!((task_of(&store, root).name.as_str(), task_of(&store, root).index), ("R#1", 2));
    assert_eq!(task_of(&store, parent).child_counts.unwrap().total, Some(6));
    finish(&store);
    assert_eq!(run_state(&store, run), State::Succeeded);
    events_tell_the_tables(&store);
}

#[test]
fn children_that_the_original_gave_no_input_are_claimed_without_one() {
    let mut seed = seed::file(3);
    let run = seed.run("RUNNING");
    let parent = seed.task(run, &task("P", "RUNNING").input(r#"{"fanout": 2}"#));
    let child = seed.task(run, &task("P#1", "RUNNING").below(parent));
    let below = seed.task(run, &task("P#1#1", "PENDING").below(child));
    let bare = seed.task(run, &task("Q", "RUNNING"));
    let below_bare = seed.task(run, &task("Q#1", "PENDING").below(bare));
    let folder = seed.close();
    let store = SqliteStore::open(folder.db()).unwrap();
    let env = Environment::system();
    let registration = store.register_engine(&RegisterEngine::new(&env)).unwrap();
    let wants = ["P", "Q"].map(|kind| KindQuota::new(kind.parse().unwrap(), 10));
    let claimed = store.claim(&Claim::new(registration.key(), wants.into(), 1000, &env)).unwrap();
    assert_eq!(claimed.rejected, 0);
    for id in [below, below_bare] {
        let claim = claimed.tasks.iter().find(|claim| claim.fence.task == id).unwrap();
        assert!(claim.input.as_ref().is_none_or(|input| input.as_str() == "null"));
    }
}

#[test]
fn the_longest_names_that_are_adopted_leave_room_for_those_below_them() {
    let mut seed = seed::file(3);
    let run = seed.run("RUNNING");
    let parent = seed.task(run, &task("P", "RUNNING").input(r#"{"fanout": 2}"#));
    // As deep as JSON nests: every second level is a task.
    let deep = format!("{}1{}", r#"{"fanout":["#.repeat(32), "]}".repeat(32));
    let long = seed.task(run, &task(&"x".repeat(732), "PENDING").below(parent).input(&deep));
    let leaf = seed.task(run, &task(&"y".repeat(1020), "RUNNING").below(parent));
    let folder = seed.close();
    let store = SqliteStore::open(folder.db()).unwrap();
    finish(&store);
    let tasks = store.tasks(run, TaskFilter::default(), None, 1000).unwrap().items;
    assert_eq!(tasks.len(), 3 + 32);
    assert_eq!(tasks.iter().map(|task| task.name.as_str().matches('#').count()).max(), Some(32));
    assert_eq!((state(&store, long).0, state(&store, leaf).0), (State::Succeeded, State::Succeeded));
    assert_eq!(run_state(&store, run), State::Succeeded);
    events_tell_the_tables(&store);
}

#[test]
fn the_most_retries_that_are_adopted_can_still_be_counted_on() {
    let mut seed = seed::file(3);
    let run = seed.run("RUNNING");
    let [failed, runs, waits] = ["FAILED", "RUNNING", "PENDING"]
        .map(|state| seed.task(run, &task("A", state).retries(1_000_000, 1000)));
    let folder = seed.close();
    let store = SqliteStore::open(folder.db()).unwrap();
    assert_eq!(state(&store, failed), (State::Failed, false));
    finish(&store);
    let attempts = [failed, runs, waits].map(|task| task_of(&store, task).attempt);
    assert_eq!(attempts, [1_000_001; 3]);
    events_tell_the_tables(&store);
}

#[test]
fn a_run_without_tasks_is_sealed_and_succeeds() {
    let mut seed = seed::file(3);
    let run = seed.run("RUNNING");
    let folder = seed.close();
    let store = SqliteStore::open(folder.db()).unwrap();
    assert_eq!(store.run(run).unwrap().unwrap().child_counts, ChildCounts::sealed(0));
    finish(&store);
    assert_eq!(run_state(&store, run), State::Succeeded);
}

#[test]
fn ids_in_lower_case_are_the_same_ids() {
    let mut seed = seed::file(3);
    let run = seed.run("RUNNING");
    let parent = seed.task(run, &task("P", "RUNNING"));
    let child = seed.task(run, &task("P#1", "RUNNING").below(parent));
    seed.sql(
        "UPDATE tasks SET run_id = lower(run_id), parent_task_id = lower(parent_task_id), id = lower(id)",
    );
    let folder = seed.close();
    let store = SqliteStore::open(folder.db()).unwrap();
    assert_eq!(task_of(&store, child).parent, Some(parent));
}

/// Ten thousand tasks in every state, on two levels.
pub(crate) fn large(children: usize) -> Folder {
    let mut seed = seed::file(3);
    let states = ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"];
    seed.together(|seed| {
        for (nth, run_state) in states.iter().cycle().take(20).enumerate() {
            let run = seed.run(run_state);
            let input = format!(r#"{{"fanout": {}, "nth": {nth}}}"#, children + nth % 3);
            let parent = seed.task(run, &task("PARENT", states[nth * 7 % 5]).input(&input));
            for child in 1..=children {
                let state = states[(child * 31 + nth) % 5];
                let name = format!("PARENT#{child}");
                let id = seed.task(run, &task(&name, state).below(parent).input(r#"{"a": 1}"#));
                if child % 100 == 0 {
                    seed.event(run, Some(id), "TASK_STATE", Some(r#"{"a": 1}"#));
                }
            }
        }
    });
    seed.close()
}

#[test]
fn ten_thousand_tasks_are_adopted_quickly_and_finished() {
    let folder = large(500);
    let began = Instant::now();
    let store = SqliteStore::open(folder.db()).unwrap();
    let took = began.elapsed();
    println!("adopted in {took:?}");
    assert!(took.as_secs() < 20, "{took:?}");
    assert_eq!(store.state_counts(Scope::All).unwrap().total(), 20 * 501);
    assert_eq!(folder.ask::<i64>("PRAGMA freelist_count"), 0, "the pages of the old tables went back");
    events_tell_the_tables(&store);
    finish(&store);
    events_tell_the_tables(&store);
    let open: i64 = folder.ask("SELECT count(*) FROM conductor_runs WHERE state IN (0, 1)");
    assert_eq!(open, 0);
}
