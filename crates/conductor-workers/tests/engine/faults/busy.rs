//! A store that is busy for a while.

use super::{fail_on_some_calls, tree, work};
use crate::faulty_store::{FaultyStore, Injection, busy};
use crate::support::fixture::{Fixture, failures, settle};
use crate::support::waiting::receive;
use conductor_model::{State, TaskDraft};
use conductor_store::StoreError;
use conductor_workers::{Context, Engine, RunError};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn run_settles_on_intermittently_busy_store() {
    for seed in 0..5 {
        let fixture = Fixture::new();
        let store = FaultyStore::new(&fixture.store, fail_on_some_calls(seed, || Injection::Fail(busy())));
        let engine = Engine::builder(store).handler("work", work).build().unwrap();
        let run = tree(&fixture);
        assert_eq!(settle(&engine, run).state, State::Succeeded, "seed {seed}");
        fixture.assert_consistent(run);
        // No lease expired, so no result was lost.
        assert!(failures(&fixture.events(run)).iter().all(|failure| failure == "once"));
    }
}

#[test]
fn run_settles_when_single_method_is_busy() {
    for method in [
        "register_engine",
        "settle",
        "rescue",
        "retry",
        "promote",
        "fan_out",
        "aggregate",
        "change_token",
        "next_due",
        "ready_kinds",
        "run",
        "run_blockers",
    ] {
        let fixture = Fixture::new();
        let left = AtomicU64::new(3);
        let store = FaultyStore::new(&fixture.store, move |called| {
            let is_left =
                || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
            if called == method && is_left() { Injection::Fail(busy()) } else { Injection::Pass }
        });
        let engine = Engine::builder(store).handler("work", work).build().unwrap();
        let run = tree(&fixture);
        assert_eq!(settle(&engine, run).state, State::Succeeded, "{method}");
        fixture.assert_consistent(run);
    }
}

#[test]
fn engine_waits_indefinitely_for_busy_store() {
    let fixture = Fixture::new();
    let is_busy = Arc::new(AtomicBool::new(true));
    let store = {
        let is_busy = Arc::clone(&is_busy);
        FaultyStore::new(&fixture.store, move |_| {
            if is_busy.load(Ordering::SeqCst) { Injection::Fail(busy()) } else { Injection::Pass }
        })
    };
    let engine = Engine::builder(Arc::clone(&store)).handler("work", work).build().unwrap();
    let run = tree(&fixture);
    engine.start();
    let free_later = thread::spawn(move || {
        // Longer than the engine waits after any other error.
        thread::sleep(Duration::from_secs(12));
        is_busy.store(false, Ordering::SeqCst);
    });
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    free_later.join().unwrap();
    // The engine and the waiting caller poll every 50 ms. More calls would be a busy loop.
    assert!(store.calls("change_token") + store.calls("run") < 3000);
    fixture.assert_consistent(run);
}

#[test]
fn stop_waits_only_briefly_for_busy_store() {
    let fixture = Fixture::new();
    let is_busy = Arc::new(AtomicBool::new(false));
    let store = {
        let is_busy = Arc::clone(&is_busy);
        FaultyStore::new(&fixture.store, move |method| match method {
            // The engine can neither settle nor release its claims.
            "release" | "settle" if is_busy.load(Ordering::SeqCst) => Injection::Fail(busy()),
            _ => Injection::Pass,
        })
    };
    let (started, starts) = mpsc::channel();
    let handler = move |(): (), _: Context| {
        is_busy.store(true, Ordering::SeqCst);
        started.send(())?;
        Ok(())
    };
    let engine = Engine::builder(Arc::clone(&store)).handler("work", handler).build().unwrap();
    let _run = fixture.submit(TaskDraft::new("work"));
    engine.start();
    receive(&starts);
    engine.stop_handle().stop();
    let start = Instant::now();
    let result = engine.run_forever();
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert!(
        matches!(&result, Err(RunError::Store(error)) if matches!(**error, StoreError::Busy(_))),
        "{result:?}"
    );
}
