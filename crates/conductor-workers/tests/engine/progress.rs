//! What handlers report of their progress: the newest word is shown while they work, and seldom written.

use crate::desk::{Desk, LONG, gate, next, settle, until};
use crate::meddler::{Meddler, Meddling, busy};
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

fn shown(desk: &Desk, task: TaskId) -> Option<Progress> {
    desk.store.task_progress(task).unwrap().map(|shown| shown.progress)
}

/// A handler that reports when it is told to, until nobody tells it any longer.
fn teller() -> (impl Fn((), Context) -> Result<(), TaskError>, mpsc::Sender<Progress>) {
    let (tell, told) = mpsc::channel::<Progress>();
    let told = Mutex::new(told);
    let handler = move |(): (), context: Context| {
        while let Ok(Progress { done, total, message }) = told.lock().unwrap().recv() {
            context.progress(done, total, message);
        }
        Ok(())
    };
    (handler, tell)
}

#[test]
fn latest_report_is_visible_while_handler_runs() {
    let desk = Desk::on_disk();
    let (handler, tell) = teller();
    let engine = desk.engine().handler("tell", handler).build().unwrap();
    let run = desk.submit(TaskDraft::new("tell"));
    engine.start();
    let task = desk.first(run).id;
    assert_eq!(shown(&desk, task), None);
    for (done, message) in [(1, "the first"), (2, ""), (3, "the third")] {
        tell.send(progress(0, None, "overtaken")).unwrap();
        tell.send(progress(done, Some(3), message)).unwrap();
        until("the newest word is shown", || shown(&desk, task) == Some(progress(done, Some(3), message)));
    }
    let listed = desk.store.run_progress(run, None, 10).unwrap().items;
    assert_eq!(listed, [desk.store.task_progress(task).unwrap().unwrap()]);
    let events = desk.events(run).len();
    drop(tell);
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(shown(&desk, task), None, "the attempt is over");
    assert_eq!(desk.events(run).len(), events + 2, "progress is no event: the task and the run ended");
}

#[test]
fn overlong_message_is_truncated() {
    let desk = Desk::new();
    let (handler, tell) = teller();
    let engine = desk.engine().handler("tell", handler).build().unwrap();
    let task = desk.first(desk.submit(TaskDraft::new("tell"))).id;
    engine.start();
    tell.send(progress(1, None, &"ä".repeat(5000))).unwrap();
    until("it is shown", || shown(&desk, task).is_some());
    let message = String::from(shown(&desk, task).unwrap().message);
    assert!(message.len() <= 1024 && message.ends_with("ä…"), "{} bytes", message.len());
    drop(tell);
}

#[test]
fn frequent_reports_are_written_twice_per_second() {
    const WATCHED: Duration = Duration::from_millis(1600);
    let desk = Desk::on_disk();
    let report = |(): (), context: Context| {
        let began = Instant::now();
        let mut done = 0;
        while began.elapsed() < WATCHED {
            done += 1;
            context.progress(done, None, "on and on");
            if done % 1000 == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    };
    let store = Meddler::new(&desk.store, |_| Meddling::Pass);
    let engine = Engine::builder(Arc::clone(&store)).workers(2).handler("report", report).build().unwrap();
    let run = desk.submit(TaskDraft::new("P").kind("report").fan_out([(), ()]));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    // Both tasks at once, and however late they came to their end.
    let writes = store.calls("record_progress");
    assert!((2..=10).contains(&writes), "{writes} writes");
}

#[test]
fn silent_handlers_cause_no_writes() {
    let desk = Desk::on_disk();
    let (handler, tell) = teller();
    let store = Meddler::new(&desk.store, |_| Meddling::Pass);
    let engine = Engine::builder(Arc::clone(&store)).handler("tell", handler).build().unwrap();
    let task = desk.first(desk.submit(TaskDraft::new("tell"))).id;
    engine.start();
    tell.send(progress(1, None, "once")).unwrap();
    until("it is shown", || shown(&desk, task).is_some());
    let other = desk.open_again();
    thread::sleep(Duration::from_millis(300));
    let (change_token, calls) = (other.change_token().unwrap(), store.calls("record_progress"));
    thread::sleep(Duration::from_millis(1200));
    assert_eq!((other.change_token().unwrap(), store.calls("record_progress")), (change_token, calls));
    drop(tell);
}

#[test]
fn failed_progress_write_is_retried_without_blocking() {
    let desk = Desk::new();
    let fails = Arc::new(AtomicBool::new(true));
    let store = {
        let fails = Arc::clone(&fails);
        Meddler::new(&desk.store, move |method| match method {
            "record_progress" if fails.load(Ordering::SeqCst) => Meddling::Fail(busy()),
            _ => Meddling::Pass,
        })
    };
    let (handler, tell) = teller();
    let work = |(): (), _: Context| Ok(());
    let engine =
        Engine::builder(Arc::clone(&store)).workers(2).handler("tell", handler).handler("work", work);
    let engine = engine.build().unwrap();
    let task = desk.first(desk.submit(TaskDraft::new("tell"))).id;
    engine.start();
    tell.send(progress(1, None, "patience")).unwrap();
    until("it was tried twice", || store.calls("record_progress") >= 2);
    assert_eq!(settle(&engine, desk.submit(TaskDraft::new("work"))).state, State::Succeeded);
    assert_eq!(shown(&desk, task), None);
    fails.store(false, Ordering::SeqCst);
    until("it is written", || shown(&desk, task) == Some(progress(1, None, "patience")));
    drop(tell);
}

#[test]
fn abandoned_handler_reports_are_ignored() {
    let desk = Desk::new();
    let (hold, wait) = gate();
    let (said, told) = mpsc::channel();
    let deaf = move |(): (), context: Context| {
        if context.attempt() == 1 {
            // It goes on after its time.
            wait.pass();
            context.progress(99, None, "too late");
            said.send(())?;
            wait.pass();
        }
        context.progress(1, None, "in time");
        assert!(context.attempt() == 1 || context.sleep(LONG));
        Ok(())
    };
    let store = Meddler::new(&desk.store, |_| Meddling::Pass);
    let engine = Engine::builder(Arc::clone(&store)).workers(1).spare_threads(1).handler("deaf", deaf);
    let engine = engine.build().unwrap();
    let run = desk.submit(TaskDraft::new("deaf").timeout_ms(500).max_retries(1));
    engine.start();
    let task = desk.first(run).id;
    until("the second attempt reports", || shown(&desk, task) == Some(progress(1, None, "in time")));
    hold.let_through();
    next(&told);
    let calls = store.all_calls();
    thread::sleep(Duration::from_millis(200));
    assert_ne!(shown(&desk, task), Some(progress(99, None, "too late")));
    // And it keeps the engine from nothing, its rest included.
    assert!(store.all_calls() - calls < 150, "{} calls", store.all_calls() - calls);
    engine.stop_handle().stop_now();
    hold.open();
}
