//! Whole trees, from their submission to their end.

use crate::desk::{Desk, settle, until};
use conductor_model::{Backoff, Json, RunDraft, State, TaskDraft};
use conductor_store::{Append, NodeId, Seal, Store};
use conductor_workers::{Context, TaskError};
use serde_json::{Value, json};
use std::thread;

/// Fails as often as its input says.
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it gets")]
fn stumble(input: Value, context: Context) -> Result<u32, TaskError> {
    let times = input["stumbles"].as_u64().unwrap_or(0);
    if u64::from(context.retry_count()) < times {
        return Err(TaskError::retry("it stumbled"));
    }
    Ok(context.retry_count())
}

#[test]
fn nested_fan_out_settles() {
    let desk = Desk::on_disk();
    let engine = desk.engine().workers(4).handler("tree", stumble).build().unwrap();
    let leaf = |stumbles: u32| json!({ "stumbles": stumbles });
    let branch = json!({"fanout": [leaf(0), leaf(1), leaf(2), {"fanout": [leaf(0), leaf(3)]}]});
    let tree = TaskDraft::new("tree").input(json!({"fanout": [branch, branch, leaf(0)]}));
    let run = engine.submit(RunDraft::new().task(tree)).unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let tasks = desk.tasks(run);
    assert_eq!(tasks.len(), 1 + 3 + 2 * 4 + 2 * 2);
    assert!(tasks.iter().all(|task| task.state == State::Succeeded));
    assert_eq!(desk.count(run, "task.retried"), 2 * (1 + 2 + 3));
    desk.assert_whole(run);
}

#[test]
fn exhausted_leaf_fails_only_its_ancestors() {
    let desk = Desk::new();
    let engine = desk.engine().handler("tree", stumble).build().unwrap();
    let tree = json!({"fanout": [{"fanout": [{"stumbles": 9}, {}]}, {"fanout": [{}, {}]}]});
    let backoff = Backoff::fixed(5).unwrap();
    let run = desk.submit_all([
        TaskDraft::new("tree").input(tree).max_retries(2).backoff(backoff),
        TaskDraft::new("beside").kind("tree"),
    ]);
    assert_eq!(settle(&engine, run).state, State::Failed);
    let states: Vec<(String, State, u32)> = desk
        .tasks(run)
        .into_iter()
        .map(|task| (task.name.as_str().to_owned(), task.state, task.attempt))
        .filter(|(_, state, _)| *state == State::Failed)
        .collect();
    let expected = [("tree", 0), ("tree#1", 0), ("tree#1#1", 3)];
    let failed: Vec<(&str, u32)> =
        states.iter().map(|(name, _, attempt)| (name.as_str(), *attempt)).collect();
    assert_eq!(failed, expected);
    desk.assert_whole(run);
}

#[test]
fn children_are_appended_while_engine_runs() {
    let desk = Desk::on_disk();
    let engine = desk.engine().handler("stream", |item: u32, _| Ok(item * 2)).build().unwrap();
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("stream").open())).unwrap();
    let parent = desk.first(run).id;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| settle(&engine, run));
        let other = desk.open_again();
        for page in 0..20 {
            let items = (0..25).map(|n| Json::of(&(page * 25 + n)).unwrap()).collect();
            let appended = other.append(&Append::items(parent, page * 25 + 1, items, &desk.env)).unwrap();
            assert_eq!(appended.created, 25);
        }
        let now = desk.env.now();
        other.seal(&Seal { parent: NodeId::Task(parent), children: 500, now }).unwrap();
        assert_eq!(waiting.join().unwrap().state, State::Succeeded);
    });
    for (nth, child) in desk.tasks(run)[1..].iter().enumerate() {
        assert_eq!(child.output.as_ref().unwrap().as_str(), (2 * nth).to_string());
    }
    desk.assert_whole(run);
}

#[test]
fn empty_fan_out_succeeds() {
    let desk = Desk::new();
    let engine = desk.engine().build().unwrap();
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("nothing").open())).unwrap();
    engine.start();
    let (parent, now) = (NodeId::Task(desk.first(run).id), desk.env.now());
    desk.store.seal(&Seal { parent, children: 0, now }).unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    desk.assert_whole(run);
}

#[test]
fn wide_fan_out_settles() {
    // More than one step creates, and more than is claimed at once.
    let desk = Desk::on_disk();
    let engine = desk.engine().workers(4).handler("wide", |_: Value, _| Ok(())).build().unwrap();
    let run = desk.submit(TaskDraft::new("wide").input(json!({"fanout": 9000})));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(desk.count(run, "task.succeeded"), 9000);
    desk.assert_whole(run);
}

#[test]
fn higher_priority_starts_first_within_run() {
    let desk = Desk::new();
    let (began, told) = std::sync::mpsc::channel();
    let tell = move |(): (), context: Context| {
        began.send(context.index())?;
        Ok(())
    };
    let priorities = [0, 5, -5, 5, 1];
    let tasks = priorities
        .iter()
        .enumerate()
        .map(|(nth, priority)| TaskDraft::new(format!("t {nth}")).kind("work").priority(*priority));
    let run = desk.submit_all(tasks);
    let engine = desk.engine().workers(1).handler("work", tell).build().unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(told.try_iter().collect::<Vec<u32>>(), [2, 4, 5, 1, 3]);
}

#[test]
fn submission_from_handler_is_executed() {
    let desk = Desk::new();
    let store = std::sync::Arc::clone(&desk.store);
    let outer = move |(): (), _: Context| {
        let env = conductor_store::Environment::system();
        let inner = RunDraft::new().task(TaskDraft::new("inner").input(1)).validate()?;
        Ok(store.submit(&conductor_store::Submit::new(inner, &env))?.run.to_string())
    };
    let engine = desk.engine().handler("outer", outer).handler("inner", |_: u32, _| Ok(())).build().unwrap();
    let task = desk.carry_out(&engine, TaskDraft::new("outer"));
    let inner: String = task.output.unwrap().to().unwrap();
    let inner = inner.parse().unwrap();
    until("the inner run is done", || desk.run(inner).state == State::Succeeded);
}
