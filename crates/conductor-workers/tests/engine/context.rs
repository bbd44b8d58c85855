//! What a handler knows of its task.

use crate::desk::{Desk, gate, next, settle};
use conductor_model::{RunId, State, TaskDraft, TaskId};
use conductor_workers::{Context, TaskError};
use serde_json::json;
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
    let desk = Desk::new();
    let (seen, told) = mpsc::channel();
    let look = move |(): (), context: Context| {
        let kind = context.kind().as_str().to_owned();
        let (id, run, parent) = (context.id(), context.run(), context.parent());
        let (index, attempt, retry_count) = (context.index(), context.attempt(), context.retry_count());
        seen.send(Seen { id, run, parent, kind, index, attempt, retry_count })?;
        if context.retry_count() == 0 { Err(TaskError::retry("once more")) } else { Ok(()) }
    };
    let engine = desk.engine().workers(1).handler("look", look).build().unwrap();
    let run = desk.submit_all([TaskDraft::new("other").kind("look"), TaskDraft::new("task").kind("look")]);
    settle(&engine, run);
    let mut seen: Vec<Seen> = told.try_iter().collect();
    seen.sort_by_key(|seen| (seen.index, seen.attempt));
    let tasks = desk.tasks(run);
    let (parent, kind) = (None, String::from("look"));
    let expected = |nth: usize, attempt: u32| Seen {
        id: tasks[nth].id,
        run,
        parent,
        kind: kind.clone(),
        index: tasks[nth].index,
        attempt,
        retry_count: attempt - 1,
    };
    assert_eq!(seen, [expected(0, 1), expected(0, 2), expected(1, 1), expected(1, 2)]);
}

#[test]
fn child_reads_parent_id_and_input() {
    let desk = Desk::new();
    let look = |item: u32, context: Context| {
        let common: serde_json::Value = context.parent_input()?;
        Ok(
            json!({"item": item, "index": context.index(), "parent": context.parent(), "width": common["width"]}),
        )
    };
    let engine = desk.engine().handler("album", look).build().unwrap();
    let run = desk.submit(TaskDraft::new("album").input(json!({"fanout": [10, 20], "width": 80})));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let tasks = desk.tasks(run);
    for (nth, child) in tasks[1..].iter().enumerate() {
        let said: serde_json::Value = child.output.as_ref().unwrap().to().unwrap();
        let expected = json!({"item": 10 * (nth + 1), "index": nth + 1, "parent": tasks[0].id, "width": 80});
        assert_eq!(said, expected);
    }
}

#[test]
fn missing_or_mismatched_parent_input_is_fatal() {
    let desk = Desk::new();
    let look = |_: serde_json::Value, context: Context| context.parent_input::<u32>();
    let engine = desk.engine().handler("look", look).build().unwrap();
    let task = desk.carry_out(&engine, TaskDraft::new("look"));
    assert_eq!((task.state, task.attempt), (State::Failed, 1));
    assert_eq!(task.last_error.unwrap().as_str(), "a root task has no parent");
    let run = desk.submit(TaskDraft::new("look").input(json!({"fanout": 1})));
    assert_eq!(settle(&engine, run).state, State::Failed);
    let child = desk.tasks(run).remove(1);
    assert_eq!(child.attempt, 1);
    assert!(child.last_error.unwrap().as_str().starts_with("the parent's input: "));
}

#[test]
fn remaining_time_follows_timeout() {
    let desk = Desk::new();
    let look = |(): (), context: Context| Ok(context.remaining().map(|left| left.as_secs_f64()));
    let engine = desk.engine().handler("look", look).build().unwrap();
    assert_eq!(desk.carry_out(&engine, TaskDraft::new("look")).output, None);
    let task = desk.carry_out(&engine, TaskDraft::new("look").timeout_ms(60_000));
    let left: f64 = task.output.unwrap().to().unwrap();
    assert!(left > 0.0 && left <= 60.0, "{left}");
}

#[test]
fn sleep_lasts_its_full_duration() {
    let desk = Desk::new();
    let sleep = |(): (), context: Context| {
        let began = Instant::now();
        let should_give_up = context.sleep(Duration::from_millis(50));
        Ok((should_give_up, context.is_cancelled(), began.elapsed() >= Duration::from_millis(50)))
    };
    let engine = desk.engine().handler("sleep", sleep).build().unwrap();
    let task = desk.carry_out(&engine, TaskDraft::new("sleep"));
    assert_eq!(task.output.unwrap().as_str(), "[false,false,true]");
}

#[test]
fn sleep_ends_at_timeout() {
    let desk = Desk::new();
    let (woke, told) = mpsc::channel();
    let sleep = move |(): (), context: Context| {
        let should_give_up = context.sleep(Duration::from_hours(1));
        woke.send((should_give_up, context.is_cancelled(), context.remaining()))?;
        Ok(())
    };
    let engine = desk.engine().handler("sleep", sleep).build().unwrap();
    let task = desk.carry_out(&engine, TaskDraft::new("sleep").timeout_ms(30).max_retries(0));
    assert_eq!(task.state, State::Failed);
    assert_eq!(next(&told), (true, true, Some(Duration::ZERO)));
}

#[test]
fn context_works_in_any_thread() {
    let desk = Desk::new();
    let (hold, wait) = gate();
    let (send, told) = mpsc::channel();
    let (began, has_begun) = mpsc::channel();
    let handler = move |(): (), context: Context| {
        let (sleeper, send) = (context.clone(), send.clone());
        std::thread::spawn(move || send.send(sleeper.sleep(Duration::from_hours(1))));
        began.send(())?;
        wait.pass();
        Ok(())
    };
    let engine = desk.engine().handler("share", handler).build().unwrap();
    desk.submit(TaskDraft::new("share"));
    engine.start();
    next(&has_begun);
    engine.stop_handle().stop_now();
    assert!(next(&told), "the other thread was told to give up");
    hold.open();
}
