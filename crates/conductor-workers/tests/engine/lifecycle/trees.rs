//! Whole trees of tasks, from submission to settlement.

use crate::support::fixture::{Fixture, settle};
use crate::support::waiting::wait_until;
use conductor_model::{Backoff, Json, RunDraft, State, TaskDraft};
use conductor_store::{Append, Environment, NodeId, Seal, Store, Submit};
use conductor_workers::{Context, TaskError};
use serde_json::{Value, json};
use std::sync::{Arc, mpsc};
use std::thread;

/// Fails as many times as its input says.
#[expect(clippy::needless_pass_by_value, reason = "a handler owns its input")]
fn fail_some_times(input: Value, context: Context) -> Result<u32, TaskError> {
    let times = input["failures"].as_u64().unwrap_or(0);
    if u64::from(context.retry_count()) < times {
        return Err(TaskError::retry("an intended failure"));
    }
    Ok(context.retry_count())
}

#[test]
fn nested_fan_out_settles() {
    let fixture = Fixture::on_disk();
    let engine = fixture.engine().workers(4).handler("tree", fail_some_times).build().unwrap();
    let leaf = |failures: u32| json!({ "failures": failures });
    let branch = json!({"fanout": [leaf(0), leaf(1), leaf(2), {"fanout": [leaf(0), leaf(3)]}]});
    let tree = TaskDraft::new("tree").input(json!({"fanout": [branch, branch, leaf(0)]}));
    let run = engine.submit(RunDraft::new().task(tree)).unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let tasks = fixture.tasks(run);
    assert_eq!(tasks.len(), 1 + 3 + 2 * 4 + 2 * 2);
    assert!(tasks.iter().all(|task| task.state == State::Succeeded));
    assert_eq!(fixture.count_events(run, "task.retried"), 2 * (1 + 2 + 3));
    fixture.assert_consistent(run);
}

#[test]
fn exhausted_leaf_fails_only_its_ancestors() {
    let fixture = Fixture::new();
    let engine = fixture.engine().handler("tree", fail_some_times).build().unwrap();
    let tree = json!({"fanout": [{"fanout": [{"failures": 9}, {}]}, {"fanout": [{}, {}]}]});
    let backoff = Backoff::fixed(5).unwrap();
    let run = fixture.submit_all([
        TaskDraft::new("tree").input(tree).max_retries(2).backoff(backoff),
        TaskDraft::new("sibling").kind("tree"),
    ]);
    assert_eq!(settle(&engine, run).state, State::Failed);
    let states: Vec<(String, State, u32)> = fixture
        .tasks(run)
        .into_iter()
        .map(|task| (task.name.as_str().to_owned(), task.state, task.attempt))
        .filter(|(_, state, _)| *state == State::Failed)
        .collect();
    let expected = [("tree", 0), ("tree#1", 0), ("tree#1#1", 3)];
    let failed: Vec<(&str, u32)> =
        states.iter().map(|(name, _, attempt)| (name.as_str(), *attempt)).collect();
    assert_eq!(failed, expected);
    fixture.assert_consistent(run);
}

#[test]
fn children_are_appended_while_engine_runs() {
    let fixture = Fixture::on_disk();
    let engine = fixture.engine().handler("stream", |item: u32, _| Ok(item * 2)).build().unwrap();
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("stream").open())).unwrap();
    let parent = fixture.first_task(run).id;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| settle(&engine, run));
        let other = fixture.another_handle();
        for page in 0..20 {
            let items = (0..25).map(|n| Json::of(&(page * 25 + n)).unwrap()).collect();
            let appended = other.append(&Append::items(parent, page * 25 + 1, items, &fixture.env)).unwrap();
            assert_eq!(appended.created, 25);
        }
        let now = fixture.env.now();
        other.seal(&Seal { parent: NodeId::Task(parent), children: 500, now }).unwrap();
        assert_eq!(waiting.join().unwrap().state, State::Succeeded);
    });
    for (index, child) in fixture.tasks(run)[1..].iter().enumerate() {
        assert_eq!(child.output.as_ref().unwrap().as_str(), (2 * index).to_string());
    }
    fixture.assert_consistent(run);
}

#[test]
fn empty_fan_out_succeeds() {
    let fixture = Fixture::new();
    let engine = fixture.engine().build().unwrap();
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("nothing").open())).unwrap();
    engine.start();
    let (parent, now) = (NodeId::Task(fixture.first_task(run).id), fixture.env.now());
    fixture.store.seal(&Seal { parent, children: 0, now }).unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    fixture.assert_consistent(run);
}

#[test]
fn wide_fan_out_settles() {
    // More children than one step creates, and more than the engine claims at once.
    let fixture = Fixture::on_disk();
    let engine = fixture.engine().workers(4).handler("wide", |_: Value, _| Ok(())).build().unwrap();
    let run = fixture.submit(TaskDraft::new("wide").input(json!({"fanout": 9000})));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(fixture.count_events(run, "task.succeeded"), 9000);
    fixture.assert_consistent(run);
}

#[test]
fn higher_priority_starts_first_within_run() {
    let fixture = Fixture::new();
    let (started, starts) = mpsc::channel();
    let work = move |(): (), context: Context| {
        started.send(context.index())?;
        Ok(())
    };
    let priorities = [0, 5, -5, 5, 1];
    let tasks = priorities
        .iter()
        .enumerate()
        .map(|(index, priority)| TaskDraft::new(format!("t {index}")).kind("work").priority(*priority));
    let run = fixture.submit_all(tasks);
    let engine = fixture.engine().workers(1).handler("work", work).build().unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(starts.try_iter().collect::<Vec<u32>>(), [2, 4, 5, 1, 3]);
}

#[test]
fn submission_from_handler_is_executed() {
    let fixture = Fixture::new();
    let store = Arc::clone(&fixture.store);
    let outer = move |(): (), _: Context| {
        let env = Environment::system();
        let inner = RunDraft::new().task(TaskDraft::new("inner").input(1)).validate()?;
        Ok(store.submit(&Submit::new(inner, &env))?.run.to_string())
    };
    let engine =
        fixture.engine().handler("outer", outer).handler("inner", |_: u32, _| Ok(())).build().unwrap();
    let task = fixture.run_task(&engine, TaskDraft::new("outer"));
    let inner: String = task.output.unwrap().to().unwrap();
    let inner = inner.parse().unwrap();
    wait_until("the inner run is done", || fixture.run(inner).state == State::Succeeded);
}
