//! What a handler learns from its context.

use crate::support::fixture::{Fixture, settle};
use crate::support::gate::new_gate;
use crate::support::waiting::receive;
use conductor_model::{RunId, State, TaskDraft, TaskId};
use conductor_workers::{Context, TaskError};
use serde_json::{Value, json};
use std::sync::mpsc;
use std::time::{Duration, Instant};

#[derive(Debug, PartialEq)]
struct Seen {
    id: TaskId,
    run: RunId,
    parent: Option<TaskId>,
    kind: String,
    index: u32,
    attempt: u32,
    retry_count: u32,
}

#[test]
fn task_and_attempt_are_visible() {
    let fixture = Fixture::new();
    let (seen, contexts) = mpsc::channel();
    let look = move |(): (), context: Context| {
        let kind = context.kind().as_str().to_owned();
        let (id, run, parent) = (context.id(), context.run(), context.parent());
        let (index, attempt, retry_count) = (context.index(), context.attempt(), context.retry_count());
        seen.send(Seen { id, run, parent, kind, index, attempt, retry_count })?;
        if context.retry_count() == 0 { Err(TaskError::retry("once more")) } else { Ok(()) }
    };
    let engine = fixture.engine().workers(1).handler("look", look).build().unwrap();
    let run = fixture.submit_all([TaskDraft::new("other").kind("look"), TaskDraft::new("task").kind("look")]);
    settle(&engine, run);
    let mut seen: Vec<Seen> = contexts.try_iter().collect();
    seen.sort_by_key(|seen| (seen.index, seen.attempt));
    let tasks = fixture.tasks(run);
    let (parent, kind) = (None, String::from("look"));
    let expected = |position: usize, attempt: u32| Seen {
        id: tasks[position].id,
        run,
        parent,
        kind: kind.clone(),
        index: tasks[position].index,
        attempt,
        retry_count: attempt - 1,
    };
    assert_eq!(seen, [expected(0, 1), expected(0, 2), expected(1, 1), expected(1, 2)]);
}

#[test]
fn child_reads_parent_id_and_input() {
    let fixture = Fixture::new();
    let look = |item: u32, context: Context| {
        let common: Value = context.parent_input()?;
        Ok(
            json!({"item": item, "index": context.index(), "parent": context.parent(), "width": common["width"]}),
        )
    };
    let engine = fixture.engine().handler("album", look).build().unwrap();
    let run = fixture.submit(TaskDraft::new("album").input(json!({"fanout": [10, 20], "width": 80})));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let tasks = fixture.tasks(run);
    for (position, child) in tasks[1..].iter().enumerate() {
        let output: Value = child.output.as_ref().unwrap().to().unwrap();
        let expected =
            json!({"item": 10 * (position + 1), "index": position + 1, "parent": tasks[0].id, "width": 80});
        assert_eq!(output, expected);
    }
}

#[test]
fn missing_or_mismatched_parent_input_is_fatal() {
    let fixture = Fixture::new();
    let look = |_: Value, context: Context| context.parent_input::<u32>();
    let engine = fixture.engine().handler("look", look).build().unwrap();
    let task = fixture.run_task(&engine, TaskDraft::new("look"));
    assert_eq!((task.state, task.attempt), (State::Failed, 1));
    assert_eq!(task.last_error.unwrap().as_str(), "a root task has no parent");
    let run = fixture.submit(TaskDraft::new("look").input(json!({"fanout": 1})));
    assert_eq!(settle(&engine, run).state, State::Failed);
    let child = fixture.tasks(run).remove(1);
    assert_eq!(child.attempt, 1);
    assert!(
        child
            .last_error
            .unwrap()
            .as_str()
            .starts_with("the parent's input does not have the requested type: ")
    );
}

#[test]
fn remaining_time_follows_timeout() {
    let fixture = Fixture::new();
    let look = |(): (), context: Context| Ok(context.remaining().map(|left| left.as_secs_f64()));
    let engine = fixture.engine().handler("look", look).build().unwrap();
    assert_eq!(fixture.run_task(&engine, TaskDraft::new("look")).output, None);
    let task = fixture.run_task(&engine, TaskDraft::new("look").timeout_ms(60_000));
    let left: f64 = task.output.unwrap().to().unwrap();
    assert!(left > 0.0 && left <= 60.0, "{left}");
}

#[test]
fn sleep_lasts_its_full_duration() {
    let fixture = Fixture::new();
    let sleep = |(): (), context: Context| {
        let start = Instant::now();
        let is_cancelled = context.sleep(Duration::from_millis(50));
        Ok((is_cancelled, context.is_cancelled(), start.elapsed() >= Duration::from_millis(50)))
    };
    let engine = fixture.engine().handler("sleep", sleep).build().unwrap();
    let task = fixture.run_task(&engine, TaskDraft::new("sleep"));
    assert_eq!(task.output.unwrap().as_str(), "[false,false,true]");
}

#[test]
fn sleep_ends_at_timeout() {
    let fixture = Fixture::new();
    let (woken, results) = mpsc::channel();
    let sleep = move |(): (), context: Context| {
        let is_cancelled = context.sleep(Duration::from_hours(1));
        woken.send((is_cancelled, context.is_cancelled(), context.remaining()))?;
        Ok(())
    };
    let engine = fixture.engine().handler("sleep", sleep).build().unwrap();
    let task = fixture.run_task(&engine, TaskDraft::new("sleep").timeout_ms(30).max_retries(0));
    assert_eq!(task.state, State::Failed);
    assert_eq!(receive(&results), (true, true, Some(Duration::ZERO)));
}

#[test]
fn context_works_in_any_thread() {
    let fixture = Fixture::new();
    let (gate, waiter) = new_gate();
    let (send, results) = mpsc::channel();
    let (started, starts) = mpsc::channel();
    let handler = move |(): (), context: Context| {
        let (sleeper, send) = (context.clone(), send.clone());
        std::thread::spawn(move || send.send(sleeper.sleep(Duration::from_hours(1))));
        started.send(())?;
        waiter.wait();
        Ok(())
    };
    let engine = fixture.engine().handler("share", handler).build().unwrap();
    fixture.submit(TaskDraft::new("share"));
    engine.start();
    receive(&starts);
    engine.stop_handle().stop_now();
    assert!(receive(&results), "the other thread was cancelled");
    gate.open();
}
