//! Cancels, deadlines and policies, as seen by handlers and waiting callers.

use crate::support::fixture::{Fixture, settle};
use crate::support::waiting::{TIME_LIMIT, wait_until};
use conductor_model::{Policy, RunDraft, State, TaskDraft};
use conductor_store::ReviveFilter;
use conductor_workers::{Context, TaskError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Creates a handler that waits until it is cancelled, and counts its cancelled attempts.
fn waiting_handler(
    cancelled: &Arc<AtomicU32>,
) -> impl Fn(u64, Context) -> Result<(), TaskError> + Send + Sync + 'static {
    let cancelled = Arc::clone(cancelled);
    move |_, context: Context| {
        if context.sleep(TIME_LIMIT) {
            cancelled.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[test]
fn run_cancel_reaches_running_handlers() {
    let fixture = Fixture::new();
    let cancelled = Arc::new(AtomicU32::new(0));
    let engine = fixture.engine().workers(2).handler("wait", waiting_handler(&cancelled)).build().unwrap();
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("wait").fan_out([1, 2, 3, 4]))).unwrap();
    engine.start();
    wait_until("two attempts run", || fixture.run(run).state_counts.running >= 3);
    let start = Instant::now();
    let _ = engine.cancel(run, "no longer needed").unwrap();
    assert_eq!(settle(&engine, run).state, State::Cancelled);
    wait_until("both attempts end", || cancelled.load(Ordering::Relaxed) == 2);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(fixture.run(run).state_counts.cancelled, 5);
    let why = engine.explain(run).unwrap().unwrap().to_string();
    assert!(why.contains("cancelled on request: no longer needed"), "{why}");
    fixture.assert_consistent(run);
}

#[test]
fn cancel_by_another_process_reaches_handler() {
    let fixture = Fixture::on_disk();
    let cancelled = Arc::new(AtomicU32::new(0));
    let engine = fixture.engine().handler("wait", waiting_handler(&cancelled)).build().unwrap();
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("wait").input(1))).unwrap();
    engine.start();
    wait_until("the task runs", || fixture.run(run).state_counts.running == 1);
    let other = fixture.another_handle();
    let task = fixture.first_task(run).id;
    let cancel = conductor_store::Cancel::task(task, fixture.env.now());
    let _ = conductor_store::Admin::cancel(&*other, &cancel).unwrap();
    wait_until("the attempt ends", || cancelled.load(Ordering::Relaxed) == 1);
    assert_eq!(settle(&engine, run).state, State::Cancelled);
}

#[test]
fn run_deadline_cancels_running_handler() {
    let fixture = Fixture::new();
    let cancelled = Arc::new(AtomicU32::new(0));
    let engine = fixture.engine().handler("wait", waiting_handler(&cancelled)).build().unwrap();
    let draft = RunDraft::new().task(TaskDraft::new("wait").input(1)).deadline_ms(200);
    let run = engine.submit(draft).unwrap();
    assert_eq!(settle(&engine, run).state, State::Cancelled);
    wait_until("the attempt ends", || cancelled.load(Ordering::Relaxed) == 1);
    let why = engine.explain(run).unwrap().unwrap().to_string();
    assert!(why.contains("because the run's deadline passed"), "{why}");
}

#[test]
fn run_settled_before_deadline_succeeds() {
    let fixture = Fixture::new();
    let engine =
        fixture.engine().handler("quick", |(): (), _: Context| Ok::<_, TaskError>(())).build().unwrap();
    let draft = RunDraft::new().task(TaskDraft::new("quick")).deadline_ms(3_600_000);
    let run = engine.submit(draft).unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn fail_fast_cancels_siblings() {
    let fixture = Fixture::new();
    let cancelled = Arc::new(AtomicU32::new(0));
    let wait = waiting_handler(&cancelled);
    let work = move |number: u64, context: Context| {
        if number == 1 {
            // Fails after a sibling has started.
            std::thread::sleep(Duration::from_millis(50));
            return Err(TaskError::fatal("task 1 fails"));
        }
        wait(number, context)
    };
    let engine = fixture.engine().workers(2).handler("work", work).build().unwrap();
    let task = TaskDraft::new("work").fan_out(1..=100_u64).policy(Policy::FailFast);
    let run = engine.submit(RunDraft::new().task(task)).unwrap();
    let settled = settle(&engine, run);
    assert_eq!(settled.state, State::Failed);
    assert_eq!(
        (settled.state_counts.failed, settled.state_counts.cancelled),
        (2, 99),
        "one child and its parent fail"
    );
    wait_until("a sibling ends", || cancelled.load(Ordering::Relaxed) >= 1);
    fixture.assert_consistent(run);
}

#[test]
fn revive_reruns_only_failed_child() {
    let fixture = Fixture::new();
    let (failing, calls) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU32::new(0)));
    let (is_failing, counted) = (Arc::clone(&failing), Arc::clone(&calls));
    let work = move |number: u64, _: Context| {
        counted.fetch_add(1, Ordering::Relaxed);
        if number == 7 && is_failing.load(Ordering::Relaxed) {
            return Err(TaskError::fatal("task 7 fails"));
        }
        Ok(number)
    };
    let engine = fixture.engine().handler("work", work).build().unwrap();
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("work").fan_out(0..1000_u64))).unwrap();
    assert_eq!(settle(&engine, run).state, State::Failed);
    failing.store(false, Ordering::Relaxed);
    let revived = engine.revive_all(run, ReviveFilter::Failed).unwrap();
    assert_eq!((revived.tasks, revived.reopened, revived.skipped), (1, 2, 0));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(calls.load(Ordering::Relaxed), 1001);
    fixture.assert_consistent(run);
}

#[test]
fn explanation_names_blocking_leaf() {
    let fixture = Fixture::new();
    let blocking = |(): (), context: Context| {
        if context.attempt() == 1 {
            // Ignores its timeout.
            std::thread::sleep(Duration::from_secs(3));
        }
        Err::<(), _>(TaskError::retry_after(Duration::from_hours(1), "not now"))
    };
    let engine = fixture.engine().workers(1).handler("blocking", blocking).build().unwrap();
    let task =
        TaskDraft::new("blocking").timeout_ms(50).backoff(conductor_model::Backoff::fixed(60_000).unwrap());
    let run = engine.submit(RunDraft::new().task(task)).unwrap();
    engine.start();
    wait_until("the attempt times out", || fixture.first_task(run).state == State::Failed);
    let why = engine.explain(run).unwrap().unwrap().to_string();
    for part in
        ["waits for 1 of 1 children", "retry 1 of 3 is due at", "timed out", "although that attempt is over"]
    {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert_eq!(engine.explain(conductor_model::RunId::from_u128(7)).unwrap(), None);
}
