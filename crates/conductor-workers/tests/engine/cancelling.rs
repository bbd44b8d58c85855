//! Cancels, deadlines and policies, as handlers and those who wait meet them.

use crate::desk::{Desk, LONG, settle, until};
use conductor_model::{Policy, RunDraft, State, TaskDraft};
use conductor_store::ReviveFilter;
use conductor_workers::{Context, TaskError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Waits until it is told to give up; says so to whoever counts.
fn patient(
    gave_up: &Arc<AtomicU32>,
) -> impl Fn(u64, Context) -> Result<(), TaskError> + Send + Sync + 'static {
    let gave_up = Arc::clone(gave_up);
    move |_, context: Context| {
        if context.sleep(LONG) {
            gave_up.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[test]
fn run_cancel_reaches_running_handlers() {
    let desk = Desk::new();
    let gave_up = Arc::new(AtomicU32::new(0));
    let engine = desk.engine().workers(2).handler("wait", patient(&gave_up)).build().unwrap();
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("wait").fan_out([1, 2, 3, 4]))).unwrap();
    engine.start();
    until("two run", || desk.run(run).state_counts.running >= 3);
    let began = Instant::now();
    let _ = engine.cancel(run, "no longer needed").unwrap();
    assert_eq!(settle(&engine, run).state, State::Cancelled);
    until("both gave up", || gave_up.load(Ordering::Relaxed) == 2);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(desk.run(run).state_counts.cancelled, 5);
    let why = engine.explain(run).unwrap().unwrap().to_string();
    assert!(why.contains("cancelled by a person: no longer needed"), "{why}");
    desk.assert_whole(run);
}

#[test]
fn cancel_by_another_process_reaches_handler() {
    let desk = Desk::on_disk();
    let gave_up = Arc::new(AtomicU32::new(0));
    let engine = desk.engine().handler("wait", patient(&gave_up)).build().unwrap();
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("wait").input(1))).unwrap();
    engine.start();
    until("it runs", || desk.run(run).state_counts.running == 1);
    let other = desk.open_again();
    let task = desk.first(run).id;
    let cancel = conductor_store::Cancel::task(task, desk.env.now());
    let _ = conductor_store::Admin::cancel(&*other, &cancel).unwrap();
    until("it gave up", || gave_up.load(Ordering::Relaxed) == 1);
    assert_eq!(settle(&engine, run).state, State::Cancelled);
}

#[test]
fn run_deadline_cancels_running_handler() {
    let desk = Desk::new();
    let gave_up = Arc::new(AtomicU32::new(0));
    let engine = desk.engine().handler("wait", patient(&gave_up)).build().unwrap();
    let draft = RunDraft::new().task(TaskDraft::new("wait").input(1)).deadline_ms(200);
    let run = engine.submit(draft).unwrap();
    assert_eq!(settle(&engine, run).state, State::Cancelled);
    until("it gave up", || gave_up.load(Ordering::Relaxed) == 1);
    let why = engine.explain(run).unwrap().unwrap().to_string();
    assert!(why.contains("because the run's deadline passed"), "{why}");
}

#[test]
fn run_settled_before_deadline_succeeds() {
    let desk = Desk::new();
    let engine = desk.engine().handler("quick", |(): (), _: Context| Ok::<_, TaskError>(())).build().unwrap();
    let draft = RunDraft::new().task(TaskDraft::new("quick")).deadline_ms(3_600_000);
    let run = engine.submit(draft).unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn fail_fast_cancels_siblings() {
    let desk = Desk::new();
    let gave_up = Arc::new(AtomicU32::new(0));
    let wait = patient(&gave_up);
    let work = move |number: u64, context: Context| {
        if number == 1 {
            // Not before a sibling runs.
            std::thread::sleep(Duration::from_millis(50));
            return Err(TaskError::fatal("the first one is broken"));
        }
        wait(number, context)
    };
    let engine = desk.engine().workers(2).handler("work", work).build().unwrap();
    let task = TaskDraft::new("work").fan_out(1..=100_u64).policy(Policy::FailFast);
    let run = engine.submit(RunDraft::new().task(task)).unwrap();
    let settled = settle(&engine, run);
    assert_eq!(settled.state, State::Failed);
    assert_eq!(
        (settled.state_counts.failed, settled.state_counts.cancelled),
        (2, 99),
        "one child, and its parent"
    );
    until("a sibling gave up", || gave_up.load(Ordering::Relaxed) >= 1);
    desk.assert_whole(run);
}

#[test]
fn revive_reruns_only_failed_child() {
    let desk = Desk::new();
    let (broken, calls) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU32::new(0)));
    let (is_broken, counted) = (Arc::clone(&broken), Arc::clone(&calls));
    let work = move |number: u64, _: Context| {
        counted.fetch_add(1, Ordering::Relaxed);
        if number == 7 && is_broken.load(Ordering::Relaxed) {
            return Err(TaskError::fatal("seven is broken"));
        }
        Ok(number)
    };
    let engine = desk.engine().handler("work", work).build().unwrap();
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("work").fan_out(0..1000_u64))).unwrap();
    assert_eq!(settle(&engine, run).state, State::Failed);
    broken.store(false, Ordering::Relaxed);
    let revived = engine.revive_all(run, ReviveFilter::Failed).unwrap();
    assert_eq!((revived.tasks, revived.reopened, revived.skipped), (1, 2, 0));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(calls.load(Ordering::Relaxed), 1001);
    desk.assert_whole(run);
}

#[test]
fn explanation_names_blocking_leaf() {
    let desk = Desk::new();
    let deaf = |(): (), context: Context| {
        if context.attempt() == 1 {
            // Deaf to the end of its time.
            std::thread::sleep(Duration::from_secs(3));
        }
        Err::<(), _>(TaskError::retry_after(Duration::from_hours(1), "not now"))
    };
    let engine = desk.engine().workers(1).handler("deaf", deaf).build().unwrap();
    let task =
        TaskDraft::new("deaf").timeout_ms(50).backoff(conductor_model::Backoff::fixed(60_000).unwrap());
    let run = engine.submit(RunDraft::new().task(task)).unwrap();
    engine.start();
    until("its time is over", || desk.first(run).state == State::Failed);
    let why = engine.explain(run).unwrap().unwrap().to_string();
    for part in
        ["waits for 1 of 1 children", "retry 1 of 3 is due at", "timed out", "its handler ignores that"]
    {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert_eq!(engine.explain(conductor_model::RunId::from_u128(7)).unwrap(), None);
}
