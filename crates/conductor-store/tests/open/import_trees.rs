//! Imported trees: which tasks are retried, cancelled, created or continued.

use crate::import_helpers::{assert_events_match_rows, finish, open, run_state, state, task_of};
use crate::legacy_file::{self, THEN, task};
use conductor_model::State;
use conductor_store::{Claim, Environment, KindQuota, Query, RegisterEngine, Store, TaskFilter};

#[test]
fn failure_with_retries_left_reopens_its_ancestors() {
    let mut file = legacy_file::file(3);
    let run = file.run("FAILED");
    let parent = file.task(run, &task("P", "FAILED").input(r#"{"fanout": 2}"#));
    let inner = file.task(run, &task("P#1", "FAILED").below(parent).input(r#"{"fanout": 2}"#));
    let again = file.task(run, &task("P#1#1", "FAILED").below(inner).retries(2, 3));
    let spent = file.task(run, &task("P#1#2", "FAILED").below(inner).retries(3, 3));
    let good = file.task(run, &task("P#2", "SUCCEEDED").below(parent));
    let other = file.run("FAILED");
    let final_parent = file.task(other, &task("F", "FAILED").input(r#"{"fanout": 1}"#));
    let final_child = file.task(other, &task("F#1", "FAILED").below(final_parent).retries(0, 0));
    let folder = file.close();

    let store = open(&folder);
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
    assert_events_match_rows(&store);

    finish(&store);
    assert_eq!(state(&store, again), (State::Succeeded, false));
    assert_eq!(state(&store, inner), (State::Failed, false));
    assert_eq!(run_state(&store, run), State::Failed);
    assert_events_match_rows(&store);
}

#[test]
fn failure_below_settled_ancestor_is_permanent() {
    let mut file = legacy_file::file(3);
    let mut below = Vec::new();
    for (run_state, root_state) in
        [("SUCCEEDED", "FAILED"), ("CANCELLED", "FAILED"), ("RUNNING", "SUCCEEDED"), ("FAILED", "CANCELLED")]
    {
        let run = file.run(run_state);
        let root = file.task(run, &task("R", root_state).input(r#"{"fanout": 1}"#));
        let child = file.task(run, &task("R#1", "FAILED").below(root).input(r#"{"fanout": 1}"#));
        below.push((run, run_state, root, root_state, file.task(run, &task("R#1#1", "FAILED").below(child))));
    }
    let folder = file.close();
    let store = open(&folder);
    for (run, expected, root, root_expected, leaf) in below {
        assert_eq!(state(&store, leaf), (State::Failed, false));
        assert_eq!(state(&store, root).0.as_str(), root_expected);
        assert_eq!(run_state(&store, run).as_str(), expected);
    }
    assert_events_match_rows(&store);
}

#[test]
fn open_descendants_follow_cancelled_but_not_succeeded_ancestor() {
    let mut file = legacy_file::file(3);
    let mut trees = Vec::new();
    for root in ["CANCELLED", "SUCCEEDED"] {
        let run = file.run("RUNNING");
        let root = file.task(run, &task("R", root).input(r#"{"fanout": 3}"#));
        let waits = file.task(run, &task("R#1", "PENDING").below(root));
        let runs = file.task(run, &task("R#2", "RUNNING").below(root));
        let parent = file.task(run, &task("R#3", "PENDING").below(root).input(r#"{"fanout": 2}"#));
        trees.push((root, [waits, runs, parent]));
    }
    let folder = file.close();
    let store = open(&folder);
    let [(cancelled, below_cancelled), (succeeded, below_succeeded)] = trees[..] else { panic!() };
    assert!(below_cancelled.iter().all(|task| state(&store, *task).0 == State::Cancelled));
    assert_eq!(task_of(&store, cancelled).child_counts.unwrap().cancelled, 3);
    assert_eq!(
        below_succeeded.map(|task| state(&store, task).0),
        [State::Pending, State::Running, State::Pending]
    );
    assert_events_match_rows(&store);
    finish(&store);
    assert!(below_succeeded.iter().all(|task| state(&store, *task).0 == State::Succeeded));
    assert_eq!(
        (state(&store, succeeded).0, state(&store, cancelled).0),
        (State::Succeeded, State::Cancelled)
    );
    assert_events_match_rows(&store);
}

#[test]
fn interrupted_fan_out_continues() {
    let mut file = legacy_file::file(3);
    let run = file.run("PENDING");
    let parent = file.task(run, &task("P", "PENDING").input(r#"{"fanout": 5, "a": 1}"#));
    for i in 1..=2 {
        file.task(run, &task(&format!("P#{i}"), "SUCCEEDED").below(parent).input("{}"));
    }
    let untouched = file.task(run, &task("Q", "PENDING").input(r#"{"fanout": 2}"#));
    let failed = file.task(run, &task("F", "FAILED").input(r#"{"fanout": 2}"#));
    let folder = file.close();
    let store = open(&folder);
    assert_eq!(state(&store, parent), (State::Running, false));
    assert_eq!(state(&store, untouched), (State::Pending, false));
    assert_eq!(state(&store, failed), (State::Pending, false), "a retry of a parent is its fan-out");
    assert_eq!(run_state(&store, run), State::Running);
    finish(&store);
    let children = store.children(parent, 0, 10).unwrap().items;
    let names: Vec<_> = children.iter().map(|child| child.name.as_str()).collect();
    assert_eq!(names, ["P#1", "P#2", "P#3", "P#4", "P#5"]);
    assert_eq!(children[4].input.as_ref().unwrap().as_str(), r#"{"a":1}"#);
    assert_eq!(run_state(&store, run), State::Succeeded);
    assert_eq!(store.run(run).unwrap().unwrap().state_counts.total(), 3 + 5 + 2 + 2);
    assert_events_match_rows(&store);
}

#[test]
fn children_without_fan_out_get_free_indices() {
    let mut file = legacy_file::file(3);
    let run = file.run("RUNNING");
    let parent = file.task(run, &task("P", "RUNNING").input(r#"{"fanout": 0}"#));
    let rows = [("b", 1), ("P#2", 2), ("a", 3), ("P#07", 4), ("P#9", 9), ("Q#5", 5)];
    let ids = rows.map(|(name, _)| file.task(run, &task(name, "SUCCEEDED").below(parent)));
    let below = file.task(run, &task("b#1", "SUCCEEDED").below(ids[0]));
    let root = file.task(run, &task("R#1", "SUCCEEDED"));
    let folder = file.close();
    let store = open(&folder);
    for (id, (name, index)) in ids.into_iter().zip(rows) {
        let row = task_of(&store, id);
        assert_eq!((row.name.as_str(), row.index, row.kind.as_str()), (name, index, "P"));
    }
    assert_eq!((task_of(&store, below).index, task_of(&store, below).kind.as_str()), (1, "P"));
    assert_eq!((task_of(&store, root).name.as_str(), task_of(&store, root).index), ("R#1", 2));
    assert_eq!(task_of(&store, parent).child_counts.unwrap().total, Some(6));
    finish(&store);
    assert_eq!(run_state(&store, run), State::Succeeded);
    assert_events_match_rows(&store);
}

#[test]
fn child_without_input_is_claimed_without_input() {
    let mut file = legacy_file::file(3);
    let run = file.run("RUNNING");
    let parent = file.task(run, &task("P", "RUNNING").input(r#"{"fanout": 2}"#));
    let child = file.task(run, &task("P#1", "RUNNING").below(parent));
    let below = file.task(run, &task("P#1#1", "PENDING").below(child));
    let bare = file.task(run, &task("Q", "RUNNING"));
    let below_bare = file.task(run, &task("Q#1", "PENDING").below(bare));
    let folder = file.close();
    let store = open(&folder);
    let env = Environment::system();
    let registration = store.register_engine(&RegisterEngine::new(&env)).unwrap();
    let wants = ["P", "Q"].map(|kind| KindQuota::new(kind.parse().unwrap(), 10));
    let claimed = store.claim(&Claim::new(registration.key(), wants.into(), 1000, &env)).unwrap();
    assert_eq!(claimed.rejected, 0);
    for id in [below, below_bare] {
        let claim = claimed.tasks().into_iter().find(|claim| claim.fence.task == id).unwrap();
        assert!(claim.input.as_ref().is_none_or(|input| input.as_str() == "null"));
    }
}

#[test]
fn longest_names_leave_room_for_descendants() {
    let mut file = legacy_file::file(3);
    let run = file.run("RUNNING");
    let parent = file.task(run, &task("P", "RUNNING").input(r#"{"fanout": 2}"#));
    // The deepest JSON: every second level is a task.
    let deep = format!("{}1{}", r#"{"fanout":["#.repeat(32), "]}".repeat(32));
    let long = file.task(run, &task(&"x".repeat(732), "PENDING").below(parent).input(&deep));
    let leaf = file.task(run, &task(&"y".repeat(1020), "RUNNING").below(parent));
    let folder = file.close();
    let store = open(&folder);
    finish(&store);
    let tasks = store.tasks(run, TaskFilter::default(), None, 1000).unwrap().items;
    assert_eq!(tasks.len(), 3 + 32);
    assert_eq!(tasks.iter().map(|task| task.name.as_str().matches('#').count()).max(), Some(32));
    assert_eq!((state(&store, long).0, state(&store, leaf).0), (State::Succeeded, State::Succeeded));
    assert_eq!(run_state(&store, run), State::Succeeded);
    assert_events_match_rows(&store);
}

#[test]
fn highest_retry_count_can_still_increase() {
    let mut file = legacy_file::file(3);
    let run = file.run("RUNNING");
    let [failed, runs, waits] = ["FAILED", "RUNNING", "PENDING"]
        .map(|state| file.task(run, &task("A", state).retries(1_000_000, 1000)));
    let folder = file.close();
    let store = open(&folder);
    assert_eq!(state(&store, failed), (State::Failed, false));
    finish(&store);
    let attempts = [failed, runs, waits].map(|task| task_of(&store, task).attempt);
    assert_eq!(attempts, [1_000_001; 3]);
    assert_events_match_rows(&store);
}
