//! A store that fails now and then, and one that fails for good.

use crate::desk::{Desk, failures, settle, try_to_settle};
use crate::meddler::{Meddler, Meddling, busy, commit_unknown};
use conductor_model::{RunId, State, TaskDraft};
use conductor_store::Fault;
use conductor_workers::{Context, Engine, RunError, TaskError};
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A tree with retries.
fn tree(desk: &Desk) -> RunId {
    let item = json!({"fanout": 7});
    desk.submit_all([
        TaskDraft::new("a").kind("work").input(json!({"fanout": [item, item, item]})).max_retries(20),
        TaskDraft::new("b").kind("work").max_retries(20),
    ])
}

#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it gets")]
fn work(_: Value, context: Context) -> Result<u32, TaskError> {
    if context.retry_count() == 0 && context.index().is_multiple_of(3) {
        return Err(TaskError::retry("once"));
    }
    Ok(context.attempt())
}

/// Something happens at one of eight calls, as a seed has it.
fn now_and_then(seed: u64, happens: impl Fn() -> Meddling) -> impl Fn(&'static str) -> Meddling {
    let calls = AtomicU64::new(0);
    move |_| {
        let mut hasher = DefaultHasher::new();
        (seed, calls.fetch_add(1, Ordering::SeqCst)).hash(&mut hasher);
        if hasher.finish().is_multiple_of(8) { happens() } else { Meddling::Pass }
    }
}

#[test]
fn everything_settles_on_a_store_that_is_busy_now_and_then() {
    for seed in 0..5 {
        let desk = Desk::new();
        let store = Meddler::new(&desk.store, now_and_then(seed, || Meddling::Fail(busy())));
        let engine = Engine::builder(store).handler("work", work).build().unwrap();
        let run = tree(&desk);
        assert_eq!(settle(&engine, run).state, State::Succeeded, "seed {seed}");
        desk.assert_whole(run);
        // Nothing was lost on the way: no lease had to expire.
        assert!(failures(&desk.events(run)).iter().all(|failure| failure == "once"));
    }
}

#[test]
fn each_single_method_may_be_busy_for_a_while() {
    for method in [
        "enlist",
        "settle",
        "rescue",
        "retry",
        "promote",
        "fan_out",
        "aggregate",
        "pulse",
        "next_due",
        "ready_kinds",
        "run",
        "waits",
    ] {
        let desk = Desk::new();
        let left = AtomicU64::new(3);
        let store = Meddler::new(&desk.store, move |called| {
            let is_left =
                || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
            if called == method && is_left() { Meddling::Fail(busy()) } else { Meddling::Pass }
        });
        let engine = Engine::builder(store).handler("work", work).build().unwrap();
        let run = tree(&desk);
        assert_eq!(settle(&engine, run).state, State::Succeeded, "{method}");
        desk.assert_whole(run);
    }
}

#[test]
fn each_success_is_recorded_once_when_nobody_knows_what_was_committed() {
    for (seed, done) in [(0, true), (1, false), (2, true), (3, false)] {
        let desk = Desk::new();
        let happens = move || {
            if done { Meddling::FailAfter(commit_unknown()) } else { Meddling::Fail(commit_unknown()) }
        };
        let store = Meddler::new(&desk.store, now_and_then(seed, happens));
        let engine =
            Engine::builder(store).lease(Duration::from_millis(200)).handler("work", work).build().unwrap();
        let run = tree(&desk);
        assert_eq!(settle(&engine, run).state, State::Succeeded, "seed {seed}, done: {done}");
        desk.assert_whole(run);
    }
}

#[test]
fn a_store_that_fails_for_good_ends_the_engine_with_its_fault() {
    let desk = Desk::new();
    let broken = Arc::new(AtomicBool::new(false));
    let store = {
        let broken = Arc::clone(&broken);
        Meddler::new(&desk.store, move |_| {
            if broken.load(Ordering::SeqCst) {
                Meddling::Fail(Fault::Backend("the table is gone".into()))
            } else {
                Meddling::Pass
            }
        })
    };
    let (told, heard) = mpsc::channel();
    let handler = move |(): (), context: Context| {
        broken.store(true, Ordering::SeqCst);
        told.send(context.sleep(Duration::from_hours(1)))?;
        Ok(())
    };
    let engine = Engine::builder(store).handler("work", handler).build().unwrap();
    let run = desk.submit(TaskDraft::new("work"));
    let error = try_to_settle(&engine, run).unwrap_err();
    assert!(matches!(&error, RunError::Store(fault) if matches!(**fault, Fault::Backend(_))), "{error}");
    // Nobody waits for the handler any longer, and it is told.
    assert!(crate::desk::next(&heard));
    assert!(matches!(engine.run_forever(), Err(RunError::Store(_))));
    // The engine is gone, in the eyes of others.
    let other = desk.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    assert_eq!(settle(&other, run).state, State::Succeeded);
}

#[test]
fn patience_with_a_store_that_goes_on_failing_has_an_end() {
    let desk = Desk::new();
    let store = Meddler::new(&desk.store, |_| Meddling::Fail(Fault::Io("the disk is full".into())));
    let engine = Engine::builder(store).handler("work", work).build().unwrap();
    let run = desk.submit(TaskDraft::new("work"));
    let began = Instant::now();
    let error = try_to_settle(&engine, run).unwrap_err();
    assert!(matches!(&error, RunError::Store(fault) if matches!(**fault, Fault::Io(_))), "{error}");
    assert!(error.to_string().ends_with("the disk is full"), "{error}");
    assert!(began.elapsed() >= Duration::from_secs(9));
    assert!(matches!(engine.run_forever(), Err(RunError::Store(_))));
}

#[test]
fn a_panic_in_a_store_leaves_nobody_waiting() {
    let desk = Desk::new();
    let store = Meddler::new(&desk.store, |method| {
        assert!(method != "fan_out", "a mistake of the store's");
        Meddling::Pass
    });
    let engine = Engine::builder(store).handler("work", work).build().unwrap();
    let run = tree(&desk);
    assert!(matches!(try_to_settle(&engine, run), Err(RunError::Panicked)));
    assert!(matches!(engine.run_forever(), Err(RunError::Panicked)));
}
