//! Joins: when they run, and what their handlers receive.

use crate::support::fixture::{Fixture, settle};
use crate::support::waiting::TIME_LIMIT;
use conductor_model::{JoinDraft, Policy, RunDraft, State, TaskDraft};
use conductor_store::{NodeId, Seal, Store};
use conductor_workers::{Children, Context, TaskError};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[expect(clippy::unnecessary_wraps, reason = "the signature of a handler")]
fn double(number: u64, _: Context) -> Result<u64, TaskError> {
    Ok(number * 2)
}

/// Fails permanently on odd numbers.
fn only_even(number: u64, _: Context) -> Result<u64, TaskError> {
    if number.is_multiple_of(2) { Ok(number) } else { Err(TaskError::fatal(format!("{number} is odd"))) }
}

#[expect(clippy::needless_pass_by_value, reason = "a handler owns its input")]
fn sum(numbers: Children<u64>, _: Context) -> Result<u64, TaskError> {
    numbers.outputs().sum()
}

#[test]
fn outputs_arrive_in_index_order() {
    let fixture = Fixture::new();
    let list = |numbers: Children<u64>, _: Context| {
        numbers.outputs_with_index().collect::<Result<Vec<_>, TaskError>>()
    };
    let engine = fixture.engine().workers(4).handler("double", double).handler("list", list).build().unwrap();
    // More children than one page of outputs.
    let numbers = TaskDraft::new("double").fan_out(0..2500_u64).join("list");
    let run = engine.submit(RunDraft::new().task(numbers)).unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let output: Vec<(u32, u64)> = fixture.first_task(run).output.unwrap().to().unwrap();
    let expected: Vec<(u32, u64)> = (1..).zip((0..2500).map(|number| number * 2)).collect();
    assert_eq!(output, expected);
    fixture.assert_consistent(run);
}

#[test]
fn join_reads_child_failures() {
    let fixture = Fixture::new();
    let list_failures = |numbers: Children<u64>, context: Context| {
        assert_eq!((numbers.len(), numbers.failed(), numbers.is_empty()), (5, 2, false));
        assert_eq!((context.index(), context.kind().as_str()), (0, "failures"));
        let failures = numbers.failures().collect::<Result<Vec<_>, _>>()?;
        Ok(failures.into_iter().map(|child| (child.index, child.error)).collect::<Vec<_>>())
    };
    let engine =
        fixture.engine().handler("even", only_even).handler("failures", list_failures).build().unwrap();
    let numbers = TaskDraft::new("even").fan_out([2, 3, 4, 5, 6]).policy(Policy::Ignore).join("failures");
    let run = engine.submit(RunDraft::new().task(numbers)).unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let output: Vec<(u32, String)> = fixture.first_task(run).output.unwrap().to().unwrap();
    assert_eq!(output, [(2, "3 is odd".to_owned()), (4, "5 is odd".to_owned())]);
}

#[test]
fn join_of_empty_fan_out_runs_once() {
    let fixture = Fixture::new();
    let engine = fixture.engine().handler("sum", sum).build().unwrap();
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("none").open().join("sum"))).unwrap();
    let parent = fixture.first_task(run).id;
    fixture.store.seal(&Seal::new(NodeId::Task(parent), 0, &fixture.env)).unwrap();
    engine.wake();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(fixture.task(parent).output.unwrap().to::<u64>().unwrap(), 0);
}

#[test]
fn run_join_covers_root_tasks() {
    let fixture = Fixture::new();
    let engine = fixture.engine().handler("double", double).handler("sum", sum).build().unwrap();
    let parent = TaskDraft::new("double").fan_out([1, 2, 3]).join("sum");
    let leaf = TaskDraft::new("leaf").kind("double").input(10);
    let run = engine.submit(RunDraft::new().tasks([parent, leaf]).join("sum")).unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let join = fixture.run(run).join.unwrap();
    assert_eq!(fixture.task(join.id).output.unwrap().to::<u64>().unwrap(), 12 + 20);
    fixture.assert_consistent(run);
}

#[test]
fn join_has_own_retries_and_timeout() {
    let fixture = Fixture::new();
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    let slow = move |numbers: Children<u64>, context: Context| {
        if counted.fetch_add(1, Ordering::Relaxed) == 0 {
            assert!(context.remaining().is_some());
            let _ = context.sleep(TIME_LIMIT);
            return Err(TaskError::fatal("too late"));
        }
        numbers.outputs().sum::<Result<u64, TaskError>>()
    };
    let engine = fixture.engine().handler("double", double).handler("slow", slow).build().unwrap();
    let join = JoinDraft::new("slow").max_retries(1).timeout_ms(50);
    let numbers = TaskDraft::new("double").fan_out([1, 2]).max_retries(0).join(join);
    let run = engine.submit(RunDraft::new().task(numbers)).unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(fixture.first_task(run).output.unwrap().to::<u64>().unwrap(), 6);
    assert_eq!(attempts.load(Ordering::Relaxed), 2);
}

#[test]
fn failed_join_fails_parent_and_can_be_revived() {
    let fixture = Fixture::new();
    let is_refusing = Arc::new(AtomicU32::new(1));
    let refusing = Arc::clone(&is_refusing);
    let refuse = move |numbers: Children<u64>, _: Context| {
        if refusing.load(Ordering::Relaxed) > 0 {
            return Err(TaskError::fatal("not today"));
        }
        numbers.outputs().sum::<Result<u64, TaskError>>()
    };
    let engine = fixture.engine().handler("double", double).handler("refuse", refuse).build().unwrap();
    let run =
        engine.submit(RunDraft::new().task(TaskDraft::new("double").fan_out([1, 2]).join("refuse"))).unwrap();
    assert_eq!(settle(&engine, run).state, State::Failed);
    is_refusing.store(0, Ordering::Relaxed);
    let join = fixture.first_task(run).join.unwrap().id;
    assert_eq!(engine.revive(join).unwrap().reopened, 2, "the parent and the run");
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(fixture.count_events(run, "task.succeeded"), 3, "the children did not run again");
    fixture.assert_consistent(run);
}

#[test]
fn mismatched_child_output_fails_join_with_index() {
    let fixture = Fixture::new();
    let mixed =
        |number: u64, _: Context| Ok::<_, TaskError>(if number == 2 { json!("two") } else { json!(number) });
    let engine = fixture.engine().handler("mixed", mixed).handler("sum", sum).build().unwrap();
    let run =
        engine.submit(RunDraft::new().task(TaskDraft::new("mixed").fan_out([1, 2]).join("sum"))).unwrap();
    assert_eq!(settle(&engine, run).state, State::Failed);
    let join = fixture.task(fixture.first_task(run).join.unwrap().id);
    assert!(join.last_error.unwrap().as_str().starts_with("the output of child 2 "));
    assert_eq!(join.attempt, 1, "no retry");
}

#[test]
fn join_handler_rejects_ordinary_task() {
    let fixture = Fixture::new();
    let engine = fixture.engine().handler("sum", sum).build().unwrap();
    let task = fixture.run_task(&engine, TaskDraft::new("sum"));
    assert_eq!(task.state, State::Failed);
    assert_eq!(
        task.last_error.unwrap().as_str(),
        "the handler of kind sum takes the children of a join, but this task is not a join"
    );
}
