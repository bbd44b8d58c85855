//! How an engine stops.

use crate::desk::{ALL, Desk, Gate, Patience, gate, next, pausing, settle, try_to_settle, until};
use crate::meddler::{Meddler, Meddling, busy};
use conductor_model::{RunId, State, Task, TaskDraft};
use conductor_workers::{Context, Engine, EngineStore, RunError, TaskError};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

fn many(desk: &Desk, tasks: u32) -> RunId {
    desk.submit_all((0..tasks).map(|n| TaskDraft::new(format!("t {n}")).kind("work").max_retries(0)))
}

fn of_state(desk: &Desk, run: RunId, state: State) -> Vec<Task> {
    desk.tasks(run).into_iter().filter(|task| task.state == state).collect()
}

/// An engine whose two workers are busy, while other claims wait for them.
fn busy_engine(desk: &Desk) -> (Engine, RunId, Gate, Vec<Context>) {
    busy_engine_on(desk, Arc::clone(&desk.store))
}

fn busy_engine_on(desk: &Desk, store: impl EngineStore + 'static) -> (Engine, RunId, Gate, Vec<Context>) {
    let (handler, pauses) = pausing(2);
    let engine = Engine::builder(store).workers(2).handler("work", handler).build().unwrap();
    let run = many(desk, ALL);
    engine.start();
    let (running, hold) = pauses.with_others_waiting(desk, run);
    (engine, run, hold, running)
}

#[test]
fn graceful_stop_finishes_running_and_releases_waiting() {
    let desk = Desk::new();
    let (engine, run, hold, running) = busy_engine(&desk);
    engine.stop_handle().stop();
    until("what has not begun is handed back", || of_state(&desk, run, State::Running).len() <= 2);
    hold.open();
    let _patience = Patience::of("a graceful stop");
    engine.run_forever().unwrap();
    assert!(of_state(&desk, run, State::Running).is_empty());
    let ended = of_state(&desk, run, State::Succeeded);
    assert_eq!(ended.len() as u64, u64::from(running[1].index()));
    let waiting = of_state(&desk, run, State::Pending);
    assert_eq!(ended.len() + waiting.len(), ALL as usize);
    // None of them paid for it; the number of an attempt never goes back.
    assert!(
        waiting.iter().all(|task| task.attempt <= 1 && task.retry_count == 0 && task.last_error.is_none())
    );
    let released = waiting.iter().filter(|task| task.attempt == 1).count();
    assert!(released > 0);
    assert_eq!(desk.count(run, "task.released"), released);
    desk.assert_whole(run);
    // Whoever comes next does them, in an attempt of its own.
    let next_one = desk.engine().handler("work", |(): (), context: Context| Ok(context.attempt())).build();
    assert_eq!(settle(&next_one.unwrap(), run).state, State::Succeeded);
    desk.assert_whole(run);
}

#[test]
fn second_request_does_not_wait_for_locked_store() {
    let desk = Desk::on_disk();
    let (engine, _, _hold, running) = busy_engine(&desk);
    let other = rusqlite::Connection::open(desk.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let stop_handle = engine.stop_handle();
    stop_handle.stop();
    stop_handle.stop();
    let began = std::time::Instant::now();
    engine.run_forever().unwrap();
    // SQLite itself waits for the one who has it, five seconds at a time.
    assert!(began.elapsed() < Duration::from_secs(13), "{:?}", began.elapsed());
    assert!(running.iter().all(Context::is_cancelled));
}

#[test]
fn second_request_stops_now_and_releases_running() {
    let desk = Desk::new();
    let (engine, run, hold, running) = busy_engine(&desk);
    let stop_handle = engine.stop_handle();
    stop_handle.stop();
    until("what has not begun is handed back", || of_state(&desk, run, State::Running).len() <= 2);
    assert!(running.iter().all(|context| !context.is_cancelled()));
    stop_handle.stop();
    let _patience = Patience::of("a stop at once");
    engine.run_forever().unwrap();
    // It did not wait for the handlers, and told them.
    assert!(running.iter().all(Context::is_cancelled));
    assert!(of_state(&desk, run, State::Running).is_empty());
    for context in &running {
        let task = desk.task(context.id());
        assert_eq!((task.state, task.attempt, task.retry_count), (State::Pending, 1, 0));
    }
    // What they return now is stale: they are done again, once.
    let (again, done) = mpsc::channel();
    let handler = move |(): (), context: Context| {
        again.send(context.id())?;
        Ok(context.attempt())
    };
    let next_one = desk.engine().handler("work", handler).build().unwrap();
    hold.open();
    assert_eq!(settle(&next_one, run).state, State::Succeeded);
    let done: Vec<_> = done.try_iter().collect();
    for context in &running {
        assert!(done.contains(&context.id()));
        assert_eq!(desk.task(context.id()).output.unwrap().as_str(), "2");
    }
    desk.assert_whole(run);
}

#[test]
fn handler_dropping_its_engine_does_not_deadlock() {
    let desk = Desk::new();
    let slot = Arc::new(std::sync::Mutex::new(None::<Engine>));
    let handler = {
        let slot = Arc::clone(&slot);
        move |(): (), _: Context| {
            drop(slot.lock().map_err(|_| TaskError::fatal("poisoned"))?.take());
            Ok(())
        }
    };
    let run = desk.submit(TaskDraft::new("work"));
    let engine = desk.engine().handler("work", handler).build().unwrap();
    engine.start();
    *slot.lock().unwrap() = Some(engine);
    until("its result is recorded, and nobody holds it", || desk.run(run).state == State::Succeeded);
}

#[test]
fn dropped_engine_stops_gracefully() {
    let desk = Desk::on_disk();
    let (began, told) = mpsc::channel();
    let handler = move |(): (), _: Context| {
        began.send(())?;
        thread::sleep(Duration::from_millis(100));
        Ok(())
    };
    let engine = desk.engine().workers(2).handler("work", handler).build().unwrap();
    let run = many(&desk, 50);
    engine.start();
    next(&told);
    let _patience = Patience::of("dropping an engine");
    drop(engine);
    assert!(of_state(&desk, run, State::Running).is_empty());
    assert!(!of_state(&desk, run, State::Succeeded).is_empty());
    assert!(of_state(&desk, run, State::Failed).is_empty());
    desk.assert_whole(run);
    // Nothing of it is left beside the file.
    let files = std::fs::read_dir(desk.path().parent().unwrap()).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!names.iter().any(|name| name.contains("engine")), "{names:?}");
}

/// Otherwise the program could end before the last connection to the file is closed, and leave its log beside it.
#[test]
fn dropped_engine_releases_store() {
    let desk = Desk::new();
    for _ in 0..100 {
        let engine = desk.engine().workers(8).handler("work", |(): (), _| Ok(())).build().unwrap();
        let run = many(&desk, 20);
        engine.run_until_settled(run).unwrap();
        drop(engine);
        assert_eq!(Arc::strong_count(&desk.store), 1);
    }
}

#[test]
fn unstarted_engine_drops_immediately() {
    let desk = Desk::new();
    let _patience = Patience::of("dropping an idle engine");
    drop(desk.engine().build().unwrap());
}

#[test]
fn run_forever_returns_after_stop() {
    let desk = Desk::new();
    let engine = desk.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    let stop_handle = engine.stop_handle();
    let run = many(&desk, 10);
    let (done, told) = mpsc::channel();
    let forever = thread::spawn(move || done.send(engine.run_forever().is_ok()));
    until("the work is done", || desk.run(run).state == State::Succeeded);
    assert!(told.try_recv().is_err(), "it went on");
    stop_handle.stop();
    assert!(next(&told));
    forever.join().unwrap().unwrap();
}

#[test]
fn stop_before_start_prevents_all_work() {
    for at_once in [false, true] {
        let desk = Desk::new();
        let engine = desk.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
        let run = many(&desk, 3);
        if at_once {
            engine.stop_handle().stop_now();
        } else {
            engine.stop_handle().stop();
        }
        let _patience = Patience::of("an engine that was stopped before");
        engine.run_forever().unwrap();
        assert!(matches!(try_to_settle(&engine, run), Err(RunError::Stopped)));
        assert!(desk.tasks(run).iter().all(|task| task.attempt == 0));
    }
}

#[test]
fn waiting_for_run_ends_with_stopped() {
    let desk = Desk::new();
    let (hold, wait) = gate();
    let handler = move |(): (), _: Context| {
        wait.pass();
        Ok(())
    };
    let engine = desk.engine().workers(1).handler("work", handler).build().unwrap();
    let run = many(&desk, 2);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| try_to_settle(&engine, run));
        until("one runs", || !of_state(&desk, run, State::Running).is_empty());
        engine.stop_handle().stop();
        hold.open();
        assert!(matches!(waiting.join().unwrap(), Err(RunError::Stopped)));
    });
    // A run that is settled is settled, also for one that was stopped.
    let other = desk.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    settle(&other, run);
    assert_eq!(try_to_settle(&engine, run).unwrap().state, State::Succeeded);
}

#[test]
fn unknown_run_is_an_error() {
    let desk = Desk::new();
    let engine = desk.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    let elsewhere = many(&Desk::new(), 1);
    assert!(matches!(try_to_settle(&engine, elsewhere), Err(RunError::RunNotFound(run)) if run == elsewhere));
}

#[test]
fn results_are_recorded_when_store_is_busy() {
    for at_once in [false, true] {
        let desk = Desk::new();
        let failures = Arc::new(AtomicU32::new(0));
        let store = {
            let failures = Arc::clone(&failures);
            Meddler::new(&desk.store, move |method| match method {
                "release" | "settle"
                    if failures
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                        .is_ok() =>
                {
                    Meddling::Fail(busy())
                }
                _ => Meddling::Pass,
            })
        };
        let (engine, run, hold, _running) = busy_engine_on(&desk, store);
        failures.store(6, Ordering::SeqCst);
        hold.let_through();
        if at_once {
            engine.stop_handle().stop_now();
        } else {
            engine.stop_handle().stop();
        }
        hold.open();
        let _patience = Patience::of("a stop with a busy store");
        engine.run_forever().unwrap();
        // Handed back or done, and none of them rescued: that would be their end, for none may be retried.
        assert!(of_state(&desk, run, State::Running).is_empty());
        let engine = desk.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
        assert_eq!(settle(&engine, run).state, State::Succeeded);
        desk.assert_whole(run);
    }
}
