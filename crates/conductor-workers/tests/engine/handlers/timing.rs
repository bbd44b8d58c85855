//! Backoff, delayed starts and timeouts.

use crate::support::fixture::{Fixture, failures, settle};
use crate::support::gate::{Waiter, new_gate};
use crate::support::waiting::{receive, wait_until};
use conductor_model::{Backoff, Event, RunId, State, TaskDraft, Timestamp};
use conductor_workers::{Context, Engine, TaskError};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

fn event_times(events: &[Event], name: &str) -> Vec<Timestamp> {
    events.iter().filter(|event| event.body.name() == name).map(|event| event.at).collect()
}

#[test]
fn retry_waits_for_backoff() {
    let fixture = Fixture::new();
    let fail = |(): (), _: Context| Err::<(), _>(TaskError::retry("no"));
    let engine = fixture.engine().handler("fail", fail).build().unwrap();
    let backoff = Backoff::exponential(100, 10_000).unwrap();
    let run = fixture.submit(TaskDraft::new("fail").backoff(backoff).max_retries(2));
    assert_eq!(settle(&engine, run).state, State::Failed);
    let events = fixture.events(run);
    let (failed, retried) = (event_times(&events, "task.failed"), event_times(&events, "task.retried"));
    assert_eq!((failed.len(), retried.len()), (3, 2));
    assert!(retried[0].millis_since(failed[0]) >= 100);
    assert!(retried[1].millis_since(failed[1]) >= 200);
}

#[test]
fn delayed_task_starts_when_due() {
    let fixture = Fixture::new();
    let engine = fixture.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    engine.start();
    let due = fixture.env.now().plus_millis(300);
    let run = fixture.submit(TaskDraft::new("work").due_at(due));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let started = event_times(&fixture.events(run), "task.started")[0];
    assert!(started >= due, "started at {started}, before {due}");
    assert!(started.millis_since(due) < 5000, "started at {started}, long after {due}");
}

#[test]
fn attempt_over_timeout_fails_and_is_retried() {
    let fixture = Fixture::new();
    let slow_at_first = |(): (), context: Context| {
        if context.retry_count() == 0 {
            assert!(context.sleep(Duration::from_hours(1)));
        }
        Ok("in time")
    };
    let engine = fixture.engine().handler("slow", slow_at_first).build().unwrap();
    let run = fixture.submit(TaskDraft::new("slow").timeout_ms(50));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(failures(&fixture.events(run)), ["timed out"]);
    assert_eq!(fixture.first_task(run).output.unwrap().as_str(), "\"in time\"");
}

#[test]
fn late_result_changes_nothing() {
    let fixture = Fixture::new();
    let (gate, waiter) = new_gate();
    let (ended, ends) = mpsc::channel();
    let late = move |(): (), _: Context| {
        waiter.wait();
        ended.send(())?;
        Ok("too late")
    };
    let engine = fixture.engine().workers(1).handler("late", late).build().unwrap();
    let run = fixture.submit(TaskDraft::new("late").timeout_ms(30).max_retries(0));
    assert_eq!(settle(&engine, run).state, State::Failed);
    gate.open();
    receive(&ends);
    // A second run, so that the engine has seen the late result.
    let other = fixture.submit(TaskDraft::new("late"));
    assert_eq!(settle(&engine, other).state, State::Succeeded);
    let task = fixture.first_task(run);
    assert_eq!((task.state, task.output), (State::Failed, None));
    assert_eq!(task.last_error.unwrap().as_str(), "timed out");
    fixture.assert_consistent(run);
}

#[test]
fn result_is_late_also_while_store_is_locked() {
    let fixture = Fixture::on_disk();
    let ((gate, waiter), (started, starts)) = (new_gate(), mpsc::channel());
    let (ended, ends) = mpsc::channel();
    let slow = move |(): (), context: Context| {
        started.send(())?;
        ended.send((context.sleep(Duration::from_secs(5)), context.is_cancelled()))?;
        Ok("too late")
    };
    let quick = move |(): (), _: Context| {
        waiter.wait();
        Ok(())
    };
    let engine = fixture.engine().workers(2).handler("slow", slow).handler("quick", quick).build().unwrap();
    engine.start();
    let slow = fixture.submit(TaskDraft::new("slow").timeout_ms(400).max_retries(0));
    receive(&starts);
    let quick = fixture.submit(TaskDraft::new("quick"));
    wait_until("both tasks run", || fixture.first_task(quick).state == State::Running);
    // The engine cannot record the result of the quick task. Meanwhile the timeout of the slow task passes.
    let other = rusqlite::Connection::open(fixture.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    gate.open();
    assert_eq!(receive(&ends), (true, true), "the handler is cancelled in time");
    std::thread::sleep(Duration::from_millis(100));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(settle(&engine, slow).state, State::Failed);
    assert_eq!(failures(&fixture.events(slow)), ["timed out"]);
    assert_eq!(settle(&engine, quick).state, State::Succeeded);
}

/// Builds an engine with one worker, and a handler that ignores its timeout until the gate opens.
fn engine_with_blocking_handler(fixture: &Fixture, waiter: Waiter, spare_threads: u32) -> Engine {
    let blocking = move |(): (), _: Context| {
        waiter.wait();
        Ok(())
    };
    let engine = fixture.engine().workers(1).spare_threads(spare_threads);
    engine.handler("blocking", blocking).handler("work", |(): (), _| Ok(())).build().unwrap()
}

#[test]
fn spare_thread_replaces_timed_out_thread() {
    let fixture = Fixture::new();
    let (gate, waiter) = new_gate();
    let engine = engine_with_blocking_handler(&fixture, waiter, 2);
    for _ in 0..2 {
        let blocking = fixture.submit(TaskDraft::new("blocking").timeout_ms(20).max_retries(0));
        assert_eq!(settle(&engine, blocking).state, State::Failed);
        let run = fixture.submit(TaskDraft::new("work"));
        assert_eq!(settle(&engine, run).state, State::Succeeded);
    }
    gate.open();
}

#[test]
fn nothing_is_claimed_without_free_thread() {
    let fixture = Fixture::new();
    let (gate, waiter) = new_gate();
    let engine = engine_with_blocking_handler(&fixture, waiter, 0);
    let blocking = fixture.submit(TaskDraft::new("blocking").timeout_ms(20).max_retries(0));
    assert_eq!(settle(&engine, blocking).state, State::Failed);
    let run = fixture.submit(TaskDraft::new("work"));
    engine.wake();
    std::thread::sleep(Duration::from_millis(150));
    // Engines with free threads can claim it.
    assert_eq!(fixture.first_task(run).state, State::Pending);
    gate.open();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn handlers_ending_at_timeout_lose_no_worker() {
    // The timeout and the end of the handler coincide as often as possible.
    let fixture = Fixture::new();
    let at_the_end = |(): (), context: Context| {
        // Returns shortly before, at or after the timeout.
        std::thread::sleep(context.remaining().unwrap_or_default());
        Ok(())
    };
    let (meet, workers) = (Arc::new(std::sync::Barrier::new(4)), 4);
    let engine = fixture
        .engine()
        .workers(workers)
        .spare_threads(4)
        .handler("end", at_the_end)
        .handler("meet", move |(): (), _| {
            meet.wait();
            Ok(())
        })
        .build()
        .unwrap();
    let run = fixture.submit_all(
        (0..400).map(|n| TaskDraft::new(format!("t {n}")).kind("end").timeout_ms(1 + n % 9).max_retries(0)),
    );
    settle(&engine, run);
    fixture.assert_consistent(run);
    // These tasks need all four workers at once.
    let run = fixture.submit_all((0..4).map(|n| TaskDraft::new(format!("m {n}")).kind("meet")));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn timeout_starts_when_handler_starts() {
    // Ten attempts of 40 ms run one after the other. The timeout of each does not include its wait.
    let fixture = Fixture::new();
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    let work = move |(): (), _: Context| {
        counted.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(40));
        Ok(())
    };
    let engine = fixture.engine().workers(1).handler("work", work).build().unwrap();
    let run =
        fixture.submit_all((0..10).map(|n| TaskDraft::new(format!("t {n}")).kind("work").timeout_ms(2000)));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(attempts.load(Ordering::SeqCst), 10);
}

fn attempt(fixture: &Fixture, run: RunId) -> u32 {
    fixture.first_task(run).attempt
}

#[test]
fn timeout_expires_on_idle_engine() {
    let fixture = Fixture::new();
    let (gate, waiter) = new_gate();
    let engine = fixture
        .engine()
        .handler("blocking", move |(): (), _| {
            waiter.wait();
            Ok(())
        })
        .build()
        .unwrap();
    engine.start();
    let run = fixture.submit(TaskDraft::new("blocking").timeout_ms(150).max_retries(0));
    wait_until("the task failed", || fixture.first_task(run).state == State::Failed);
    assert_eq!(attempt(&fixture, run), 1);
    gate.open();
}
