//! Asynchronous handlers.

use crate::support::fixture::{Fixture, failures, settle};
use crate::support::gate::new_gate;
use crate::support::waiting::{TIME_LIMIT, receive, wait_until};
use conductor_model::{State, TaskDraft};
use conductor_workers::{Context, RunError, TaskError};
use serde_json::json;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Handle};
use tokio::time::sleep;

async fn double(number: u32, context: Context) -> Result<u32, TaskError> {
    sleep(Duration::from_millis(1)).await;
    if context.retry_count() == 0 {
        let parsed: u32 = "once more".parse()?;
        return Ok(parsed);
    }
    Ok(number * 2)
}

/// Panics when it is dropped, unless the thread panics already.
struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "dropped");
    }
}

#[test]
fn panicking_panic_payload_fails_attempt() {
    let fixture = Fixture::new();
    let asynchronous =
        async |(): (), _: Context| -> Result<(), TaskError> { std::panic::panic_any(PanicsOnDrop) };
    let plain = |(): (), _: Context| -> Result<(), TaskError> { std::panic::panic_any(PanicsOnDrop) };
    let engine =
        fixture.engine().handler("asynchronous", asynchronous).handler("plain", plain).build().unwrap();
    for kind in ["asynchronous", "plain"] {
        let run = fixture.submit(TaskDraft::new(kind).max_retries(1));
        assert_eq!(settle(&engine, run).state, State::Failed);
        assert_eq!(failures(&fixture.events(run)), ["panicked: without a message"; 2]);
    }
}

#[test]
fn async_handler_behaves_like_plain_handler() {
    let fixture = Fixture::new();
    let engine = fixture
        .engine()
        .handler("double", double)
        .handler("plain", |number: u32, _| Ok(number + 1))
        .handler("closure", |number: u32, _| async move { Ok(number + 2) })
        .build()
        .unwrap();
    for (kind, output, attempt) in [("double", "14", 2), ("plain", "8", 1), ("closure", "9", 1)] {
        let task = fixture.run_task(&engine, TaskDraft::new(kind).input(7));
        assert_eq!((task.state, task.attempt), (State::Succeeded, attempt));
        assert_eq!(task.output.unwrap().as_str(), output, "{kind}");
    }
    let task = fixture.run_task(&engine, TaskDraft::new("double").input("seven"));
    assert_eq!((task.state, task.attempt), (State::Failed, 1));
    assert!(task.last_error.unwrap().as_str().starts_with("the input does not fit the handler: "));
}

#[test]
fn given_runtime_runs_handlers() {
    let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("mine").enable_time().build();
    let runtime = runtime.unwrap();
    let fixture = Fixture::new();
    let thread_name = |(): (), _: Context| async {
        sleep(Duration::from_millis(1)).await;
        Ok(std::thread::current().name().map(str::to_owned))
    };
    let engine =
        fixture.engine().runtime(runtime.handle().clone()).handler("where", thread_name).build().unwrap();
    let task = fixture.run_task(&engine, TaskDraft::new("where"));
    assert_eq!(task.output.unwrap().as_str(), "\"mine\"");
}

#[test]
fn handler_uses_runtime_before_first_await() {
    let fixture = Fixture::new();
    let eager = |(): (), _: Context| {
        // Both calls panic outside a runtime.
        let (nap, task) = (sleep(Duration::from_millis(1)), tokio::spawn(async { 7 }));
        async move {
            nap.await;
            Ok(task.await?)
        }
    };
    let engine = fixture.engine().handler("eager", eager).build().unwrap();
    assert_eq!(fixture.run_task(&engine, TaskDraft::new("eager")).output.unwrap().as_str(), "7");
}

#[test]
fn panic_at_any_point_fails_attempt() {
    let fixture = Fixture::new();
    let panics = |at: String, _: Context| {
        assert!(at != "once", "at once");
        async move {
            assert!(at != "first", "before the first await");
            sleep(Duration::from_millis(1)).await;
            assert!(at != "later", "{at}, after an await");
            Ok(())
        }
    };
    let engine = fixture.engine().workers(1).handler("panics", panics).build().unwrap();
    for (at, error) in [
        ("once", "panicked: at once"),
        ("first", "panicked: before the first await"),
        ("later", "panicked: later, after an await"),
    ] {
        let task = fixture.run_task(&engine, TaskDraft::new("panics").input(at).max_retries(1));
        assert_eq!((task.state, task.attempt), (State::Failed, 2), "{at}");
        assert_eq!(task.last_error.unwrap().as_str(), error);
    }
    assert_eq!(fixture.run_task(&engine, TaskDraft::new("panics").input("never")).state, State::Succeeded);
}

/// Sends a message when it is dropped.
struct Dropped(mpsc::Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// A future that never ends, and holds `_dropped` until it is dropped.
async fn never_ending(_dropped: Dropped) -> Result<(), TaskError> {
    poll_fn(|_| Poll::<()>::Pending).await;
    Ok(())
}

#[test]
fn future_is_dropped_after_timeout() {
    let fixture = Fixture::new();
    let (dropped, drops) = mpsc::channel();
    let stuck = move |(): (), _: Context| never_ending(Dropped(dropped.clone()));
    let engine = fixture.engine().workers(1).spare_threads(0).handler("stuck", stuck).build().unwrap();
    let run = fixture.submit(TaskDraft::new("stuck").timeout_ms(30).max_retries(3));
    assert_eq!(settle(&engine, run).state, State::Failed);
    assert_eq!(failures(&fixture.events(run)), ["timed out"; 4]);
    for _ in 0..4 {
        receive(&drops);
    }
    fixture.assert_consistent(run);
}

#[test]
fn future_is_dropped_when_engine_stops_now() {
    let fixture = Fixture::new();
    let (dropped, drops) = mpsc::channel();
    let stuck = move |(): (), _: Context| never_ending(Dropped(dropped.clone()));
    let engine = fixture.engine().handler("stuck", stuck).build().unwrap();
    let run = fixture.submit(TaskDraft::new("stuck"));
    engine.start();
    wait_until("the task runs", || fixture.first_task(run).state == State::Running);
    engine.stop_handle().stop_now();
    engine.run_forever().unwrap();
    assert_eq!(fixture.first_task(run).state, State::Pending);
    // If the future was created, it is dropped.
    drop(engine);
    while drops.recv_timeout(Duration::from_millis(100)).is_ok() {}
    fixture.assert_consistent(run);
}

#[cfg(target_os = "linux")]
fn threads_named(name: &str) -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let comm = |thread: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(thread.ok()?.path().join("comm")).ok()
    };
    threads.filter_map(comm).filter(|comm| comm.trim() == name).count()
}

#[test]
fn hundred_futures_run_on_few_threads() {
    let fixture = Fixture::new();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let running = Arc::new(AtomicU32::new(0));
    let wait_for_hundred = {
        let running = Arc::clone(&running);
        move |(): (), _: Context| {
            let running = Arc::clone(&running);
            async move {
                running.fetch_add(1, Ordering::SeqCst);
                // No attempt continues before a hundred have started.
                while running.load(Ordering::SeqCst) < 100 {
                    sleep(Duration::from_millis(1)).await;
                }
                #[cfg(target_os = "linux")]
                return Ok(std::fs::read_dir("/proc/self/task")?.count());
                #[cfg(not(target_os = "linux"))]
                return Ok(0);
            }
        }
    };
    #[cfg(target_os = "linux")]
    let before = threads_named("conductor-worke");
    let engine = fixture
        .engine()
        .workers(100)
        .runtime(runtime.handle().clone())
        .handler("meet", wait_for_hundred)
        .build()
        .unwrap();
    let run = fixture.submit_all((0..100).map(|n| TaskDraft::new(format!("t {n}")).kind("meet")));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    #[cfg(target_os = "linux")]
    {
        // Other tests of this process have threads too, but fewer.
        let more = threads_named("conductor-worke").saturating_sub(before);
        assert!(more < 60, "{more} threads for a hundred futures");
    }
}

#[test]
fn running_futures_never_exceed_workers() {
    let fixture = Fixture::new();
    let (running, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let counted = {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        move |(): (), _: Context| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(Duration::from_millis(2)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            }
        }
    };
    let engine = fixture.engine().workers(5).handler("count", counted).build().unwrap();
    let run = fixture.submit_all((0..100).map(|n| TaskDraft::new(format!("t {n}")).kind("count")));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert!(most.load(Ordering::SeqCst) <= 5);
    fixture.assert_consistent(run);
}

#[test]
fn plain_and_async_handlers_share_workers() {
    let fixture = Fixture::new();
    let engine = fixture
        .engine()
        .workers(3)
        .handler("plain", |_: serde_json::Value, _| {
            std::thread::sleep(Duration::from_millis(1));
            Ok(())
        })
        .handler("future", |_: serde_json::Value, _| async {
            sleep(Duration::from_millis(1)).await;
            Ok(())
        })
        .build()
        .unwrap();
    let kinds = ["plain", "future"].into_iter().cycle().take(6).enumerate();
    let tasks =
        kinds.map(|(n, kind)| TaskDraft::new(format!("t {n}")).kind(kind).input(json!({"fanout": 40})));
    let run = fixture.submit_all(tasks);
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    fixture.assert_consistent(run);
}

#[test]
fn runtime_shutdown_releases_tasks_and_ends_engine() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let fixture = Fixture::new();
    let stuck = |(): (), _: Context| async {
        poll_fn(|_| Poll::<()>::Pending).await;
        Ok(())
    };
    let (gate, waiter) = new_gate();
    let plain = move |(): (), _: Context| {
        waiter.wait();
        Ok(())
    };
    let engine = fixture.engine().workers(3).runtime(runtime.handle().clone());
    let engine = engine.handler("stuck", stuck).handler("plain", plain).build().unwrap();
    let stuck = |n: u32| TaskDraft::new(format!("stuck {n}")).kind("stuck").max_retries(0);
    let run = fixture.submit_all((0..9).map(stuck));
    let plain = fixture.submit(TaskDraft::new("plain"));
    engine.start();
    wait_until("both tasks run", || {
        fixture.run(run).state_counts.running > 1 && fixture.first_task(plain).state == State::Running
    });
    runtime.shutdown_background();
    wait_until("the claims are released", || fixture.run(run).state_counts.pending == 9);
    // The plain handler is not affected.
    gate.open();
    assert!(matches!(engine.run_forever(), Err(RunError::RuntimeShutDown)));
    assert!(matches!(engine.run_until_settled(run), Err(RunError::RuntimeShutDown)));
    assert_eq!(fixture.first_task(plain).state, State::Succeeded);
    assert!(failures(&fixture.events(run)).is_empty());
    let attempts: u32 = fixture.tasks(run).iter().map(|task| task.attempt).sum();
    assert!(attempts < 9, "claims after the shutdown: {attempts} attempts");
    let other = fixture.engine().handler("stuck", |(): (), _: Context| async { Ok(()) }).build().unwrap();
    assert_eq!(settle(&other, run).state, State::Succeeded);
    fixture.assert_consistent(run);
}

#[test]
fn engine_works_and_drops_inside_runtime() {
    let start = Instant::now();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let fixture = Fixture::new();
        let own = fixture.engine().handler("double", double).build().unwrap();
        let shared = fixture.engine().runtime(Handle::current()).handler("twice", double).build().unwrap();
        tokio::task::block_in_place(|| {
            for (engine, kind) in [(&own, "double"), (&shared, "twice")] {
                let task = fixture.run_task(engine, TaskDraft::new(kind).input(7));
                assert_eq!(task.output.unwrap().as_str(), "14");
            }
        });
        drop((own, shared));
    });
    assert!(start.elapsed() < TIME_LIMIT);
}
