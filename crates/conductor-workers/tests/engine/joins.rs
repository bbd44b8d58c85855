//! What runs after the children, and what its handler gets.

use crate::desk::{Desk, settle};
use conductor_model::{JoinDraft, Policy, RunDraft, State, TaskDraft};
use conductor_store::{NodeId, Seal, Store};
use conductor_workers::{Children, Context, TaskError};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[expect(clippy::unnecessary_wraps, reason = "a handler's form")]
fn double(number: u64, _: Context) -> Result<u64, TaskError> {
    Ok(number * 2)
}

/// Fails for good on odd numbers.
fn only_even(number: u64, _: Context) -> Result<u64, TaskError> {
    if number.is_multiple_of(2) { Ok(number) } else { Err(TaskError::fatal(format!("{number} is odd"))) }
}

#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it gets")]
fn sum(numbers: Children<u64>, _: Context) -> Result<u64, TaskError> {
    numbers.outputs().sum()
}

#[test]
fn outputs_arrive_in_index_order() {
    let desk = Desk::new();
    let list = |numbers: Children<u64>, _: Context| {
        numbers.outputs_with_index().collect::<Result<Vec<_>, TaskError>>()
    };
    let engine = desk.engine().workers(4).handler("double", double).handler("list", list).build().unwrap();
    // More than a page of them.
    let numbers = TaskDraft::new("double").fan_out(0..2500_u64).join("list");
    let run = engine.submit(RunDraft::new().task(numbers)).unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let output: Vec<(u32, u64)> = desk.first(run).output.unwrap().to().unwrap();
    let expected: Vec<(u32, u64)> = (1..).zip((0..2500).map(|number| number * 2)).collect();
    assert_eq!(output, expected);
    desk.assert_whole(run);
}

#[test]
fn join_reads_child_failures() {
    let desk = Desk::new();
    let tell = |numbers: Children<u64>, context: Context| {
        assert_eq!((numbers.len(), numbers.failed(), numbers.is_empty()), (5, 2, false));
        assert_eq!((context.index(), context.kind().as_str()), (0, "tell"));
        let failures = numbers.failures().collect::<Result<Vec<_>, _>>()?;
        Ok(failures.into_iter().map(|child| (child.index, child.error)).collect::<Vec<_>>())
    };
    let engine = desk.engine().handler("even", only_even).handler("tell", tell).build().unwrap();
    let numbers = TaskDraft::new("even").fan_out([2, 3, 4, 5, 6]).policy(Policy::Ignore).join("tell");
    let run = engine.submit(RunDraft::new().task(numbers)).unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let output: Vec<(u32, String)> = desk.first(run).output.unwrap().to().unwrap();
    assert_eq!(output, [(2, "3 is odd".to_owned()), (4, "5 is odd".to_owned())]);
}

#[test]
fn join_of_empty_fan_out_runs_once() {
    let desk = Desk::new();
    let engine = desk.engine().handler("sum", sum).build().unwrap();
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("none").open().join("sum"))).unwrap();
    let parent = desk.first(run).id;
    desk.store.seal(&Seal::new(NodeId::Task(parent), 0, &desk.env)).unwrap();
    engine.wake();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(desk.task(parent).output.unwrap().to::<u64>().unwrap(), 0);
}

#[test]
fn run_join_covers_root_tasks() {
    let desk = Desk::new();
    let engine = desk.engine().handler("double", double).handler("sum", sum).build().unwrap();
    let parent = TaskDraft::new("double").fan_out([1, 2, 3]).join("sum");
    let leaf = TaskDraft::new("leaf").kind("double").input(10);
    let run = engine.submit(RunDraft::new().tasks([parent, leaf]).join("sum")).unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let join = desk.run(run).join.unwrap();
    assert_eq!(desk.task(join.id).output.unwrap().to::<u64>().unwrap(), 12 + 20);
    desk.assert_whole(run);
}

#[test]
fn join_has_own_retries_and_timeout() {
    let desk = Desk::new();
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    let slow = move |numbers: Children<u64>, context: Context| {
        if counted.fetch_add(1, Ordering::Relaxed) == 0 {
            assert!(context.remaining().is_some());
            let _ = context.sleep(crate::desk::LONG);
            return Err(TaskError::fatal("nobody hears this"));
        }
        numbers.outputs().sum::<Result<u64, TaskError>>()
    };
    let engine = desk.engine().handler("double", double).handler("slow", slow).build().unwrap();
    let join = JoinDraft::new("slow").max_retries(1).timeout_ms(50);
    let numbers = TaskDraft::new("double").fan_out([1, 2]).max_retries(0).join(join);
    let run = engine.submit(RunDraft::new().task(numbers)).unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(desk.first(run).output.unwrap().to::<u64>().unwrap(), 6);
    assert_eq!(attempts.load(Ordering::Relaxed), 2);
}

#[test]
fn failed_join_fails_parent_and_can_be_revived() {
    let desk = Desk::new();
    let refuses = Arc::new(AtomicU32::new(1));
    let left = Arc::clone(&refuses);
    let fussy = move |numbers: Children<u64>, _: Context| {
        if left.load(Ordering::Relaxed) > 0 {
            return Err(TaskError::fatal("not today"));
        }
        numbers.outputs().sum::<Result<u64, TaskError>>()
    };
    let engine = desk.engine().handler("double", double).handler("fussy", fussy).build().unwrap();
    let run =
        engine.submit(RunDraft::new().task(TaskDraft::new("double").fan_out([1, 2]).join("fussy"))).unwrap();
    assert_eq!(settle(&engine, run).state, State::Failed);
    refuses.store(0, Ordering::Relaxed);
    let join = desk.first(run).join.unwrap().id;
    assert_eq!(engine.revive(join).unwrap().reopened, 2, "its parent and its run");
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(desk.count(run, "task.succeeded"), 3, "the children did not run again");
    desk.assert_whole(run);
}

#[test]
fn mismatched_child_output_fails_join_with_index() {
    let desk = Desk::new();
    let words =
        |number: u64, _: Context| Ok::<_, TaskError>(if number == 2 { json!("two") } else { json!(number) });
    let engine = desk.engine().handler("words", words).handler("sum", sum).build().unwrap();
    let run =
        engine.submit(RunDraft::new().task(TaskDraft::new("words").fan_out([1, 2]).join("sum"))).unwrap();
    assert_eq!(settle(&engine, run).state, State::Failed);
    let join = desk.task(desk.first(run).join.unwrap().id);
    assert!(join.last_error.unwrap().as_str().starts_with("the output of child 2: "));
    assert_eq!(join.attempt, 1, "another attempt could not help");
}

#[test]
fn join_handler_rejects_ordinary_task() {
    let desk = Desk::new();
    let engine = desk.engine().handler("sum", sum).build().unwrap();
    let task = desk.carry_out(&engine, TaskDraft::new("sum"));
    assert_eq!(task.state, State::Failed);
    assert_eq!(task.last_error.unwrap().as_str(), "the handler of sum is for joins, and this task is none");
}
