//! What handlers report of their progress: the newest word is shown while they work, and seldom written.

use crate::faulty_store::{FaultyStore, Injection, busy};
use crate::support::fixture::{Fixture, settle};
use crate::support::gate::new_gate;
use crate::support::waiting::{TIME_LIMIT, receive, wait_until};
use conductor_model::{Progress, State, TaskDraft, TaskId};
use conductor_store::Query;
use conductor_workers::{Context, Engine, TaskError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

fn progress(done: u64, total: Option<u64>, message: &str) -> Progress {
    Progress { done, total, message: message.into() }
}

fn visible_progress(fixture: &Fixture, task: TaskId) -> Option<Progress> {
    fixture.store.task_progress(task).unwrap().map(|visible| visible.progress)
}

/// Creates a handler that reports each progress that the test sends. It returns when the sender is dropped.
fn reporting_handler() -> (impl Fn((), Context) -> Result<(), TaskError>, mpsc::Sender<Progress>) {
    let (sender, receiver) = mpsc::channel::<Progress>();
    let receiver = Mutex::new(receiver);
    let handler = move |(): (), context: Context| {
        while let Ok(Progress { done, total, message }) = receiver.lock().unwrap().recv() {
            context.progress(done, total, message);
        }
        Ok(())
    };
    (handler, sender)
}

#[test]
fn latest_report_is_visible_while_handler_runs() {
    let fixture = Fixture::on_disk();
    let (handler, sender) = reporting_handler();
    let engine = fixture.engine().handler("report", handler).build().unwrap();
    let run = fixture.submit(TaskDraft::new("report"));
    engine.start();
    let task = fixture.first_task(run).id;
    assert_eq!(visible_progress(&fixture, task), None);
    for (done, message) in [(1, "first"), (2, ""), (3, "third")] {
        sender.send(progress(0, None, "outdated")).unwrap();
        sender.send(progress(done, Some(3), message)).unwrap();
        wait_until("the latest report is visible", || {
            visible_progress(&fixture, task) == Some(progress(done, Some(3), message))
        });
    }
    let listed = fixture.store.run_progress(run, None, 10).unwrap().items;
    assert_eq!(listed, [fixture.store.task_progress(task).unwrap().unwrap()]);
    let events = fixture.events(run).len();
    drop(sender);
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(visible_progress(&fixture, task), None, "the attempt has ended");
    assert_eq!(fixture.events(run).len(), events + 2, "progress adds no event; two events end task and run");
}

#[test]
fn overlong_message_is_truncated() {
    let fixture = Fixture::new();
    let (handler, sender) = reporting_handler();
    let engine = fixture.engine().handler("report", handler).build().unwrap();
    let task = fixture.first_task(fixture.submit(TaskDraft::new("report"))).id;
    engine.start();
    sender.send(progress(1, None, &"ä".repeat(5000))).unwrap();
    wait_until("the report is visible", || visible_progress(&fixture, task).is_some());
    let message = String::from(visible_progress(&fixture, task).unwrap().message);
    assert!(message.len() <= 1024 && message.ends_with("ä…"), "{} bytes", message.len());
    drop(sender);
}

#[test]
fn frequent_reports_are_written_twice_per_second() {
    const WATCHED: Duration = Duration::from_millis(1600);
    let fixture = Fixture::on_disk();
    let report = |(): (), context: Context| {
        let start = Instant::now();
        let mut done = 0;
        while start.elapsed() < WATCHED {
            done += 1;
            context.progress(done, None, "running");
            if done % 1000 == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    };
    let store = FaultyStore::counting(&fixture.store);
    let engine = Engine::builder(Arc::clone(&store)).workers(2).handler("report", report).build().unwrap();
    let run = fixture.submit(TaskDraft::new("P").kind("report").fan_out([(), ()]));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    // One write covers both tasks. The range allows for late ends of the tasks.
    let writes = store.calls("record_progress");
    assert!((2..=10).contains(&writes), "{writes} writes");
}

#[test]
fn silent_handlers_cause_no_writes() {
    let fixture = Fixture::on_disk();
    let (handler, sender) = reporting_handler();
    let store = FaultyStore::counting(&fixture.store);
    let engine = Engine::builder(Arc::clone(&store)).handler("report", handler).build().unwrap();
    let task = fixture.first_task(fixture.submit(TaskDraft::new("report"))).id;
    engine.start();
    sender.send(progress(1, None, "once")).unwrap();
    wait_until("the report is visible", || visible_progress(&fixture, task).is_some());
    let other = fixture.another_handle();
    thread::sleep(Duration::from_millis(300));
    let (change_token, calls) = (other.change_token().unwrap(), store.calls("record_progress"));
    thread::sleep(Duration::from_millis(1200));
    assert_eq!((other.change_token().unwrap(), store.calls("record_progress")), (change_token, calls));
    drop(sender);
}

#[test]
fn failed_progress_write_is_retried_without_blocking() {
    let fixture = Fixture::new();
    let fails = Arc::new(AtomicBool::new(true));
    let store = {
        let fails = Arc::clone(&fails);
        FaultyStore::new(&fixture.store, move |method| match method {
            "record_progress" if fails.load(Ordering::SeqCst) => Injection::Fail(busy()),
            _ => Injection::Pass,
        })
    };
    let (handler, sender) = reporting_handler();
    let work = |(): (), _: Context| Ok(());
    let engine =
        Engine::builder(Arc::clone(&store)).workers(2).handler("report", handler).handler("work", work);
    let engine = engine.build().unwrap();
    let task = fixture.first_task(fixture.submit(TaskDraft::new("report"))).id;
    engine.start();
    sender.send(progress(1, None, "delayed")).unwrap();
    wait_until("two writes have failed", || store.calls("record_progress") >= 2);
    assert_eq!(settle(&engine, fixture.submit(TaskDraft::new("work"))).state, State::Succeeded);
    assert_eq!(visible_progress(&fixture, task), None);
    fails.store(false, Ordering::SeqCst);
    wait_until("the report is written", || {
        visible_progress(&fixture, task) == Some(progress(1, None, "delayed"))
    });
    drop(sender);
}

#[test]
fn abandoned_handler_reports_are_ignored() {
    let fixture = Fixture::new();
    let (gate, waiter) = new_gate();
    let (reported, reports) = mpsc::channel();
    let blocking = move |(): (), context: Context| {
        if context.attempt() == 1 {
            // Continues after its timeout.
            waiter.wait();
            context.progress(99, None, "too late");
            reported.send(())?;
            waiter.wait();
        }
        context.progress(1, None, "in time");
        assert!(context.attempt() == 1 || context.sleep(TIME_LIMIT));
        Ok(())
    };
    let store = FaultyStore::counting(&fixture.store);
    let engine =
        Engine::builder(Arc::clone(&store)).workers(1).spare_threads(1).handler("blocking", blocking);
    let engine = engine.build().unwrap();
    let run = fixture.submit(TaskDraft::new("blocking").timeout_ms(500).max_retries(1));
    engine.start();
    let task = fixture.first_task(run).id;
    wait_until("the second attempt reports", || {
        visible_progress(&fixture, task) == Some(progress(1, None, "in time"))
    });
    gate.let_one_through();
    receive(&reports);
    let calls = store.all_calls();
    thread::sleep(Duration::from_millis(200));
    assert_ne!(visible_progress(&fixture, task), Some(progress(99, None, "too late")));
    // The report causes no extra work of the engine.
    assert!(store.all_calls() - calls < 150, "{} calls", store.all_calls() - calls);
    engine.stop_handle().stop_now();
    gate.open();
}
