//! When things happen: backoff, delayed starts, the time that an attempt may take.

use crate::desk::{Desk, Waiting, failures, gate, next, settle, until};
use conductor_model::{Backoff, Event, RunId, State, TaskDraft, Timestamp};
use conductor_workers::{Context, Engine, TaskError};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

fn times(events: &[Event], name: &str) -> Vec<Timestamp> {
    events.iter().filter(|event| event.body.name() == name).map(|event| event.at).collect()
}

#[test]
fn retry_waits_for_backoff() {
    let desk = Desk::new();
    let fail = |(): (), _: Context| Err::<(), _>(TaskError::retry("no"));
    let engine = desk.engine().handler("fail", fail).build().unwrap();
    let backoff = Backoff::exponential(100, 10_000).unwrap();
    let run = desk.submit(TaskDraft::new("fail").backoff(backoff).max_retries(2));
    assert_eq!(settle(&engine, run).state, State::Failed);
    let events = desk.events(run);
    let (failed, retried) = (times(&events, "task.failed"), times(&events, "task.retried"));
    assert_eq!((failed.len(), retried.len()), (3, 2));
    assert!(retried[0].millis_since(failed[0]) >= 100);
    assert!(retried[1].millis_since(failed[1]) >= 200);
}

#[test]
fn delayed_task_starts_when_due() {
    let desk = Desk::new();
    let engine = desk.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    engine.start();
    let due = desk.env.now().plus_millis(300);
    let run = desk.submit(TaskDraft::new("work").due_at(due));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let started = times(&desk.events(run), "task.started")[0];
    assert!(started >= due, "{started} before {due}");
    assert!(started.millis_since(due) < 5000, "{started} long after {due}");
}

#[test]
fn attempt_over_timeout_fails_and_is_retried() {
    let desk = Desk::new();
    let slow_at_first = |(): (), context: Context| {
        if context.retry_count() == 0 {
            assert!(context.sleep(Duration::from_hours(1)));
        }
        Ok("in time")
    };
    let engine = desk.engine().handler("slow", slow_at_first).build().unwrap();
    let run = desk.submit(TaskDraft::new("slow").timeout_ms(50));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(failures(&desk.events(run)), ["timed out"]);
    assert_eq!(desk.first(run).output.unwrap().as_str(), "\"in time\"");
}

#[test]
fn late_result_changes_nothing() {
    let desk = Desk::new();
    let (hold, wait) = gate();
    let (ended, told) = mpsc::channel();
    let late = move |(): (), _: Context| {
        wait.pass();
        ended.send(())?;
        Ok("too late")
    };
    let engine = desk.engine().workers(1).handler("late", late).build().unwrap();
    let run = desk.submit(TaskDraft::new("late").timeout_ms(30).max_retries(0));
    assert_eq!(settle(&engine, run).state, State::Failed);
    hold.open();
    next(&told);
    // Another run, so that the late result has been through the mailbox.
    let other = desk.submit(TaskDraft::new("late"));
    assert_eq!(settle(&engine, other).state, State::Succeeded);
    let task = desk.first(run);
    assert_eq!((task.state, task.output), (State::Failed, None));
    assert_eq!(task.last_error.unwrap().as_str(), "timed out");
    desk.assert_whole(run);
}

#[test]
fn result_is_late_also_while_store_is_locked() {
    let desk = Desk::on_disk();
    let ((hold, wait), (began, begins)) = (gate(), mpsc::channel());
    let (told, tells) = mpsc::channel();
    let slow = move |(): (), context: Context| {
        began.send(())?;
        told.send((context.sleep(Duration::from_secs(5)), context.is_cancelled()))?;
        Ok("too late")
    };
    let quick = move |(): (), _: Context| {
        wait.pass();
        Ok(())
    };
    let engine = desk.engine().workers(2).handler("slow", slow).handler("quick", quick).build().unwrap();
    engine.start();
    let slow = desk.submit(TaskDraft::new("slow").timeout_ms(400).max_retries(0));
    next(&begins);
    let quick = desk.submit(TaskDraft::new("quick"));
    until("both run", || desk.first(quick).state == State::Running);
    // What the quick one ended with cannot be recorded, and meanwhile the other's time is over.
    let other = rusqlite::Connection::open(desk.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    hold.open();
    assert_eq!(next(&tells), (true, true), "it is told in time");
    std::thread::sleep(Duration::from_millis(100));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(settle(&engine, slow).state, State::Failed);
    assert_eq!(failures(&desk.events(slow)), ["timed out"]);
    assert_eq!(settle(&engine, quick).state, State::Succeeded);
}

/// An engine of one worker and so many spare threads, with a handler that goes on after its time, until the gate opens.
fn with_a_deaf_handler(desk: &Desk, wait: Waiting, spare_threads: u32) -> Engine {
    let deaf = move |(): (), _: Context| {
        wait.pass();
        Ok(())
    };
    let engine = desk.engine().workers(1).spare_threads(spare_threads);
    engine.handler("deaf", deaf).handler("work", |(): (), _| Ok(())).build().unwrap()
}

#[test]
fn spare_thread_replaces_timed_out_thread() {
    let desk = Desk::new();
    let (hold, wait) = gate();
    let engine = with_a_deaf_handler(&desk, wait, 2);
    for _ in 0..2 {
        let deaf = desk.submit(TaskDraft::new("deaf").timeout_ms(20).max_retries(0));
        assert_eq!(settle(&engine, deaf).state, State::Failed);
        let run = desk.submit(TaskDraft::new("work"));
        assert_eq!(settle(&engine, run).state, State::Succeeded);
    }
    hold.open();
}

#[test]
fn nothing_is_claimed_without_free_thread() {
    let desk = Desk::new();
    let (hold, wait) = gate();
    let engine = with_a_deaf_handler(&desk, wait, 0);
    let deaf = desk.submit(TaskDraft::new("deaf").timeout_ms(20).max_retries(0));
    assert_eq!(settle(&engine, deaf).state, State::Failed);
    let run = desk.submit(TaskDraft::new("work"));
    engine.wake();
    std::thread::sleep(Duration::from_millis(150));
    // Left for others, who have threads.
    assert_eq!(desk.first(run).state, State::Pending);
    hold.open();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn handlers_ending_at_timeout_lose_no_worker() {
    // The end of the time and the end of the handler come together as often as may be.
    let desk = Desk::new();
    let at_the_end = |(): (), context: Context| {
        // Early, late, or in that very moment.
        std::thread::sleep(context.remaining().unwrap_or_default());
        Ok(())
    };
    let (meet, workers) = (Arc::new(std::sync::Barrier::new(4)), 4);
    let engine = desk
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
    let run = desk.submit_all(
        (0..400).map(|n| TaskDraft::new(format!("t {n}")).kind("end").timeout_ms(1 + n % 9).max_retries(0)),
    );
    settle(&engine, run);
    desk.assert_whole(run);
    // All four workers are needed at once.
    let run = desk.submit_all((0..4).map(|n| TaskDraft::new(format!("m {n}")).kind("meet")));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn timeout_starts_when_handler_starts() {
    // Ten of 40 ms, one after the other, each with 2 s: none of them waits in its own time.
    let desk = Desk::new();
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    let work = move |(): (), _: Context| {
        counted.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(40));
        Ok(())
    };
    let engine = desk.engine().workers(1).handler("work", work).build().unwrap();
    let run =
        desk.submit_all((0..10).map(|n| TaskDraft::new(format!("t {n}")).kind("work").timeout_ms(2000)));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(attempts.load(Ordering::SeqCst), 10);
}

fn attempt(desk: &Desk, run: RunId) -> u32 {
    desk.first(run).attempt
}

#[test]
fn timeout_expires_on_idle_engine() {
    let desk = Desk::new();
    let (hold, wait) = gate();
    let engine = desk
        .engine()
        .handler("deaf", move |(): (), _| {
            wait.pass();
            Ok(())
        })
        .build()
        .unwrap();
    engine.start();
    let run = desk.submit(TaskDraft::new("deaf").timeout_ms(150).max_retries(0));
    until("it failed", || desk.first(run).state == State::Failed);
    assert_eq!(attempt(&desk, run), 1);
    hold.open();
}
