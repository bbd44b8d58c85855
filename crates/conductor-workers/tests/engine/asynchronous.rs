//! Asynchronous handlers.

use crate::desk::{Desk, failures, gate, next, settle, until};
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

/// It panics when it goes, unless that would end the process.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "it went");
    }
}

#[test]
fn panicking_panic_payload_fails_attempt() {
    let desk = Desk::new();
    let asynchronous = async |(): (), _: Context| -> Result<(), TaskError> { std::panic::panic_any(Bomb) };
    let plain = |(): (), _: Context| -> Result<(), TaskError> { std::panic::panic_any(Bomb) };
    let engine = desk.engine().handler("asynchronous", asynchronous).handler("plain", plain).build().unwrap();
    for kind in ["asynchronous", "plain"] {
        let run = desk.submit(TaskDraft::new(kind).max_retries(1));
        assert_eq!(settle(&engine, run).state, State::Failed);
        assert_eq!(failures(&desk.events(run)), ["panicked: without a message"; 2]);
    }
}

#[test]
fn async_handler_behaves_like_plain_handler() {
    let desk = Desk::new();
    let engine = desk
        .engine()
        .handler("double", double)
        .handler("plain", |number: u32, _| Ok(number + 1))
        .handler("closure", |number: u32, _| async move { Ok(number + 2) })
        .build()
        .unwrap();
    for (kind, output, attempt) in [("double", "14", 2), ("plain", "8", 1), ("closure", "9", 1)] {
        let task = desk.carry_out(&engine, TaskDraft::new(kind).input(7));
        assert_eq!((task.state, task.attempt), (State::Succeeded, attempt));
        assert_eq!(task.output.unwrap().as_str(), output, "{kind}");
    }
    let task = desk.carry_out(&engine, TaskDraft::new("double").input("seven"));
    assert_eq!((task.state, task.attempt), (State::Failed, 1));
    assert!(task.last_error.unwrap().as_str().starts_with("the input does not fit the handler: "));
}

#[test]
fn given_runtime_runs_handlers() {
    let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("mine").enable_time().build();
    let runtime = runtime.unwrap();
    let desk = Desk::new();
    let whereabouts = |(): (), _: Context| async {
        sleep(Duration::from_millis(1)).await;
        Ok(std::thread::current().name().map(str::to_owned))
    };
    let engine =
        desk.engine().runtime(runtime.handle().clone()).handler("where", whereabouts).build().unwrap();
    let task = desk.carry_out(&engine, TaskDraft::new("where"));
    assert_eq!(task.output.unwrap().as_str(), "\"mine\"");
}

#[test]
fn handler_uses_runtime_before_first_await() {
    let desk = Desk::new();
    let eager = |(): (), _: Context| {
        // Both of these panic outside a runtime.
        let (nap, task) = (sleep(Duration::from_millis(1)), tokio::spawn(async { 7 }));
        async move {
            nap.await;
            Ok(task.await?)
        }
    };
    let engine = desk.engine().handler("eager", eager).build().unwrap();
    assert_eq!(desk.carry_out(&engine, TaskDraft::new("eager")).output.unwrap().as_str(), "7");
}

#[test]
fn panic_at_any_point_fails_attempt() {
    let desk = Desk::new();
    let panics = |at: String, _: Context| {
        assert!(at != "once", "at once");
        async move {
            assert!(at != "first", "before the first await");
            sleep(Duration::from_millis(1)).await;
            assert!(at != "later", "{at}, after an await");
            Ok(())
        }
    };
    let engine = desk.engine().workers(1).handler("panics", panics).build().unwrap();
    for (at, said) in [
        ("once", "panicked: at once"),
        ("first", "panicked: before the first await"),
        ("later", "panicked: later, after an await"),
    ] {
        let task = desk.carry_out(&engine, TaskDraft::new("panics").input(at).max_retries(1));
        assert_eq!((task.state, task.attempt), (State::Failed, 2), "{at}");
        assert_eq!(task.last_error.unwrap().as_str(), said);
    }
    assert_eq!(desk.carry_out(&engine, TaskDraft::new("panics").input("never")).state, State::Succeeded);
}

/// Says that it was dropped.
struct Dropped(mpsc::Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// A future that holds this until it is dropped.
async fn never_ending(_dropped: Dropped) -> Result<(), TaskError> {
    poll_fn(|_| Poll::<()>::Pending).await;
    Ok(())
}

#[test]
fn future_is_dropped_after_timeout() {
    let desk = Desk::new();
    let (dropped, told) = mpsc::channel();
    let stuck = move |(): (), _: Context| never_ending(Dropped(dropped.clone()));
    let engine = desk.engine().workers(1).spare_threads(0).handler("stuck", stuck).build().unwrap();
    let run = desk.submit(TaskDraft::new("stuck").timeout_ms(30).max_retries(3));
    assert_eq!(settle(&engine, run).state, State::Failed);
    assert_eq!(failures(&desk.events(run)), ["timed out"; 4]);
    for _ in 0..4 {
        next(&told);
    }
    desk.assert_whole(run);
}

#[test]
fn future_is_dropped_when_engine_stops_now() {
    let desk = Desk::new();
    let (dropped, told) = mpsc::channel();
    let stuck = move |(): (), _: Context| never_ending(Dropped(dropped.clone()));
    let engine = desk.engine().handler("stuck", stuck).build().unwrap();
    let run = desk.submit(TaskDraft::new("stuck"));
    engine.start();
    until("it runs", || desk.first(run).state == State::Running);
    engine.stop_handle().stop_now();
    engine.run_forever().unwrap();
    assert_eq!(desk.first(run).state, State::Pending);
    // Whether it had begun or not: what was made is dropped.
    drop(engine);
    while told.recv_timeout(Duration::from_millis(100)).is_ok() {}
    desk.assert_whole(run);
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
    let desk = Desk::new();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let inside = Arc::new(AtomicU32::new(0));
    let all_inside = {
        let inside = Arc::clone(&inside);
        move |(): (), _: Context| {
            let inside = Arc::clone(&inside);
            async move {
                inside.fetch_add(1, Ordering::SeqCst);
                // None gets on before a hundred are there.
                while inside.load(Ordering::SeqCst) < 100 {
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
    let engine = desk
        .engine()
        .workers(100)
        .runtime(runtime.handle().clone())
        .handler("meet", all_inside)
        .build()
        .unwrap();
    let run = desk.submit_all((0..100).map(|n| TaskDraft::new(format!("t {n}")).kind("meet")));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    #[cfg(target_os = "linux")]
    {
        // Other tests of this process have threads too, but not so many more.
        let more = threads_named("conductor-worke").saturating_sub(before);
        assert!(more < 60, "{more} threads for a hundred futures");
    }
}

#[test]
fn running_futures_never_exceed_workers() {
    let desk = Desk::new();
    let (inside, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let counted = {
        let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
        move |(): (), _: Context| {
            let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
            async move {
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(Duration::from_millis(2)).await;
                inside.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            }
        }
    };
    let engine = desk.engine().workers(5).handler("count", counted).build().unwrap();
    let run = desk.submit_all((0..100).map(|n| TaskDraft::new(format!("t {n}")).kind("count")));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert!(most.load(Ordering::SeqCst) <= 5);
    desk.assert_whole(run);
}

#[test]
fn plain_and_async_handlers_share_workers() {
    let desk = Desk::new();
    let engine = desk
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
    let run = desk.submit_all(tasks);
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    desk.assert_whole(run);
}

#[test]
fn runtime_shutdown_releases_tasks_and_ends_engine() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let desk = Desk::new();
    let stuck = |(): (), _: Context| async {
        poll_fn(|_| Poll::<()>::Pending).await;
        Ok(())
    };
    let (gate, waiting) = gate();
    let plain = move |(): (), _: Context| {
        waiting.pass();
        Ok(())
    };
    let engine = desk.engine().workers(3).runtime(runtime.handle().clone());
    let engine = engine.handler("stuck", stuck).handler("plain", plain).build().unwrap();
    let stuck = |n: u32| TaskDraft::new(format!("stuck {n}")).kind("stuck").max_retries(0);
    let run = desk.submit_all((0..9).map(stuck));
    let plain = desk.submit(TaskDraft::new("plain"));
    engine.start();
    until("both run", || desk.run(run).state_counts.running > 1 && desk.first(plain).state == State::Running);
    runtime.shutdown_background();
    until("it is handed back", || desk.run(run).state_counts.pending == 9);
    // What runs elsewhere ends as it does.
    gate.open();
    assert!(matches!(engine.run_forever(), Err(RunError::RuntimeShutDown)));
    assert!(matches!(engine.run_until_settled(run), Err(RunError::RuntimeShutDown)));
    assert_eq!(desk.first(plain).state, State::Succeeded);
    assert!(failures(&desk.events(run)).is_empty());
    let attempts: u32 = desk.tasks(run).iter().map(|task| task.attempt).sum();
    assert!(attempts < 9, "nothing was claimed afterwards: {attempts}");
    let other = desk.engine().handler("stuck", |(): (), _: Context| async { Ok(()) }).build().unwrap();
    assert_eq!(settle(&other, run).state, State::Succeeded);
    desk.assert_whole(run);
}

#[test]
fn engine_works_and_drops_inside_runtime() {
    let began = Instant::now();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let desk = Desk::new();
        let own = desk.engine().handler("double", double).build().unwrap();
        let shared = desk.engine().runtime(Handle::current()).handler("twice", double).build().unwrap();
        tokio::task::block_in_place(|| {
            for (engine, kind) in [(&own, "double"), (&shared, "twice")] {
                let task = desk.carry_out(engine, TaskDraft::new(kind).input(7));
                assert_eq!(task.output.unwrap().as_str(), "14");
            }
        });
        drop((own, shared));
    });
    assert!(began.elapsed() < crate::desk::LONG);
}
