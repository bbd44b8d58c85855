//! How an engine stops.

use crate::faulty_store::{FaultyStore, Injection, busy};
use crate::pausing::{PAUSED_TASKS, pausing_handler};
use crate::support::fixture::{Fixture, settle, try_settle};
use crate::support::gate::{Gate, new_gate};
use crate::support::waiting::{Watchdog, receive, wait_until};
use conductor_model::{RunId, State, Task, TaskDraft};
use conductor_workers::{Context, Engine, EngineStore, RunError, TaskError};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

fn submit_many(fixture: &Fixture, tasks: u32) -> RunId {
    fixture.submit_all((0..tasks).map(|n| TaskDraft::new(format!("t {n}")).kind("work").max_retries(0)))
}

fn tasks_in_state(fixture: &Fixture, run: RunId, state: State) -> Vec<Task> {
    fixture.tasks(run).into_iter().filter(|task| task.state == state).collect()
}

/// Starts an engine whose two workers are busy while other claims wait.
fn busy_engine(fixture: &Fixture) -> (Engine, RunId, Gate, Vec<Context>) {
    busy_engine_on(fixture, Arc::clone(&fixture.store))
}

fn busy_engine_on(
    fixture: &Fixture,
    store: impl EngineStore + 'static,
) -> (Engine, RunId, Gate, Vec<Context>) {
    let (handler, pauses) = pausing_handler(2);
    let engine = Engine::builder(store).workers(2).handler("work", handler).build().unwrap();
    let run = submit_many(fixture, PAUSED_TASKS);
    engine.start();
    let (running, gate) = pauses.wait_for_prefetched_claims(fixture, run);
    (engine, run, gate, running)
}

#[test]
fn graceful_stop_finishes_running_and_releases_waiting() {
    let fixture = Fixture::new();
    let (engine, run, gate, running) = busy_engine(&fixture);
    engine.stop_handle().stop();
    wait_until("waiting claims are released", || tasks_in_state(&fixture, run, State::Running).len() <= 2);
    gate.open();
    let _watchdog = Watchdog::new("a graceful stop");
    engine.run_forever().unwrap();
    assert!(tasks_in_state(&fixture, run, State::Running).is_empty());
    let ended = tasks_in_state(&fixture, run, State::Succeeded);
    assert_eq!(ended.len() as u64, u64::from(running[1].index()));
    let waiting = tasks_in_state(&fixture, run, State::Pending);
    assert_eq!(ended.len() + waiting.len(), PAUSED_TASKS as usize);
    // A release uses no retry. The number of the attempt stays.
    assert!(
        waiting.iter().all(|task| task.attempt <= 1 && task.retry_count == 0 && task.last_error.is_none())
    );
    let released = waiting.iter().filter(|task| task.attempt == 1).count();
    assert!(released > 0);
    assert_eq!(fixture.count_events(run, "task.released"), released);
    fixture.assert_consistent(run);
    // The next engine runs them in new attempts.
    let next_engine =
        fixture.engine().handler("work", |(): (), context: Context| Ok(context.attempt())).build();
    assert_eq!(settle(&next_engine.unwrap(), run).state, State::Succeeded);
    fixture.assert_consistent(run);
}

#[test]
fn second_request_does_not_wait_for_locked_store() {
    let fixture = Fixture::on_disk();
    let (engine, _, _hold, running) = busy_engine(&fixture);
    let other = rusqlite::Connection::open(fixture.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let stop_handle = engine.stop_handle();
    stop_handle.stop();
    stop_handle.stop();
    let start = Instant::now();
    engine.run_forever().unwrap();
    // SQLite itself waits five seconds for the lock, each time.
    assert!(start.elapsed() < Duration::from_secs(13), "{:?}", start.elapsed());
    assert!(running.iter().all(Context::is_cancelled));
}

#[test]
fn second_request_stops_now_and_releases_running() {
    let fixture = Fixture::new();
    let (engine, run, gate, running) = busy_engine(&fixture);
    let stop_handle = engine.stop_handle();
    stop_handle.stop();
    wait_until("waiting claims are released", || tasks_in_state(&fixture, run, State::Running).len() <= 2);
    assert!(running.iter().all(|context| !context.is_cancelled()));
    stop_handle.stop();
    let _watchdog = Watchdog::new("an immediate stop");
    engine.run_forever().unwrap();
    // The engine cancelled the handlers and did not wait for them.
    assert!(running.iter().all(Context::is_cancelled));
    assert!(tasks_in_state(&fixture, run, State::Running).is_empty());
    for context in &running {
        let task = fixture.task(context.id());
        assert_eq!((task.state, task.attempt, task.retry_count), (State::Pending, 1, 0));
    }
    // Results that they return now are stale. Each task runs once more.
    let (again, done) = mpsc::channel();
    let handler = move |(): (), context: Context| {
        again.send(context.id())?;
        Ok(context.attempt())
    };
    let next_engine = fixture.engine().handler("work", handler).build().unwrap();
    gate.open();
    assert_eq!(settle(&next_engine, run).state, State::Succeeded);
    let done: Vec<_> = done.try_iter().collect();
    for context in &running {
        assert!(done.contains(&context.id()));
        assert_eq!(fixture.task(context.id()).output.unwrap().as_str(), "2");
    }
    fixture.assert_consistent(run);
}

#[test]
fn handler_dropping_its_engine_does_not_deadlock() {
    let fixture = Fixture::new();
    let slot = Arc::new(std::sync::Mutex::new(None::<Engine>));
    let handler = {
        let slot = Arc::clone(&slot);
        move |(): (), _: Context| {
            drop(slot.lock().map_err(|_| TaskError::fatal("poisoned"))?.take());
            Ok(())
        }
    };
    let run = fixture.submit(TaskDraft::new("work"));
    let engine = fixture.engine().handler("work", handler).build().unwrap();
    engine.start();
    *slot.lock().unwrap() = Some(engine);
    wait_until("the result is recorded", || fixture.run(run).state == State::Succeeded);
}

#[test]
fn dropped_engine_stops_gracefully() {
    let fixture = Fixture::on_disk();
    let (started, starts) = mpsc::channel();
    let handler = move |(): (), _: Context| {
        started.send(())?;
        thread::sleep(Duration::from_millis(100));
        Ok(())
    };
    let engine = fixture.engine().workers(2).handler("work", handler).build().unwrap();
    let run = submit_many(&fixture, 50);
    engine.start();
    receive(&starts);
    let _watchdog = Watchdog::new("dropping an engine");
    drop(engine);
    assert!(tasks_in_state(&fixture, run, State::Running).is_empty());
    assert!(!tasks_in_state(&fixture, run, State::Succeeded).is_empty());
    assert!(tasks_in_state(&fixture, run, State::Failed).is_empty());
    fixture.assert_consistent(run);
    // The engine leaves no file of its own.
    let files = std::fs::read_dir(fixture.path().parent().unwrap()).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!names.iter().any(|name| name.contains("engine")), "{names:?}");
}

/// Otherwise the program could end before the last connection closes, and leave the write-ahead log.
#[test]
fn dropped_engine_releases_store() {
    let fixture = Fixture::new();
    for _ in 0..100 {
        let engine = fixture.engine().workers(8).handler("work", |(): (), _| Ok(())).build().unwrap();
        let run = submit_many(&fixture, 20);
        engine.run_until_settled(run).unwrap();
        drop(engine);
        assert_eq!(Arc::strong_count(&fixture.store), 1);
    }
}

#[test]
fn unstarted_engine_drops_immediately() {
    let fixture = Fixture::new();
    let _watchdog = Watchdog::new("dropping an idle engine");
    drop(fixture.engine().build().unwrap());
}

#[test]
fn run_forever_returns_after_stop() {
    let fixture = Fixture::new();
    let engine = fixture.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    let stop_handle = engine.stop_handle();
    let run = submit_many(&fixture, 10);
    let (done, ends) = mpsc::channel();
    let forever = thread::spawn(move || done.send(engine.run_forever().is_ok()));
    wait_until("the work is done", || fixture.run(run).state == State::Succeeded);
    assert!(ends.try_recv().is_err(), "the engine continues");
    stop_handle.stop();
    assert!(receive(&ends));
    forever.join().unwrap().unwrap();
}

#[test]
fn stop_before_start_prevents_all_work() {
    for immediately in [false, true] {
        let fixture = Fixture::new();
        let engine = fixture.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
        let run = submit_many(&fixture, 3);
        if immediately {
            engine.stop_handle().stop_now();
        } else {
            engine.stop_handle().stop();
        }
        let _watchdog = Watchdog::new("an engine that was stopped before its start");
        engine.run_forever().unwrap();
        assert!(matches!(try_settle(&engine, run), Err(RunError::Stopped)));
        assert!(fixture.tasks(run).iter().all(|task| task.attempt == 0));
    }
}

#[test]
fn waiting_for_run_ends_with_stopped() {
    let fixture = Fixture::new();
    let (gate, waiter) = new_gate();
    let handler = move |(): (), _: Context| {
        waiter.wait();
        Ok(())
    };
    let engine = fixture.engine().workers(1).handler("work", handler).build().unwrap();
    let run = submit_many(&fixture, 2);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| try_settle(&engine, run));
        wait_until("one task runs", || !tasks_in_state(&fixture, run, State::Running).is_empty());
        engine.stop_handle().stop();
        gate.open();
        assert!(matches!(waiting.join().unwrap(), Err(RunError::Stopped)));
    });
    // A stopped engine still returns a settled run.
    let other = fixture.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    settle(&other, run);
    assert_eq!(try_settle(&engine, run).unwrap().state, State::Succeeded);
}

#[test]
fn unknown_run_is_rejected() {
    let fixture = Fixture::new();
    let engine = fixture.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    let unknown = submit_many(&Fixture::new(), 1);
    assert!(matches!(try_settle(&engine, unknown), Err(RunError::RunNotFound(run)) if run == unknown));
}

#[test]
fn results_are_recorded_when_store_is_busy() {
    for immediately in [false, true] {
        let fixture = Fixture::new();
        let failures = Arc::new(AtomicU32::new(0));
        let store = {
            let failures = Arc::clone(&failures);
            FaultyStore::new(&fixture.store, move |method| match method {
                "release" | "settle"
                    if failures
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                        .is_ok() =>
                {
                    Injection::Fail(busy())
                }
                _ => Injection::Pass,
            })
        };
        let (engine, run, gate, _running) = busy_engine_on(&fixture, store);
        failures.store(6, Ordering::SeqCst);
        gate.let_one_through();
        if immediately {
            engine.stop_handle().stop_now();
        } else {
            engine.stop_handle().stop();
        }
        gate.open();
        let _watchdog = Watchdog::new("a stop with a busy store");
        engine.run_forever().unwrap();
        // Every claim is released or settled. A rescue would fail its task, because no task has a retry.
        assert!(tasks_in_state(&fixture, run, State::Running).is_empty());
        let engine = fixture.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
        assert_eq!(settle(&engine, run).state, State::Succeeded);
        fixture.assert_consistent(run);
    }
}
