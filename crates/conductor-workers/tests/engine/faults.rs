//! A store that fails now and then, and one that fails for good.

use crate::desk::{Desk, failures, gate, next, settle, try_to_settle, until};
use crate::meddler::{Meddler, Meddling, busy, commit_unknown, unreadable};
use conductor_model::{RunDraft, RunId, State, TaskDraft};
use conductor_store::{StoreError, SubmitError};
use conductor_workers::{Context, Engine, RunError, TaskError, Warning};
use serde_json::{Value, json};
use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
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
fn run_settles_on_intermittently_busy_store() {
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
fn success_is_recorded_once_after_unknown_commits() {
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
fn claims_of_unknown_commit_are_released_immediately() {
    for done in [true, false] {
        let desk = Desk::new();
        let first = AtomicBool::new(true);
        let store = Meddler::new(&desk.store, move |method| match done {
            _ if method != "settle" || !first.swap(false, Ordering::SeqCst) => Meddling::Pass,
            true => Meddling::FailAfter(commit_unknown()),
            false => Meddling::Fail(commit_unknown()),
        });
        // Its lease would end after the patience of this test.
        let engine = Engine::builder(Arc::clone(&store)).lease(Duration::from_hours(1));
        let engine =
            engine.handler("work", |(): (), context: Context| Ok(context.attempt())).build().unwrap();
        let run = desk.submit(TaskDraft::new("work").max_retries(0));
        assert_eq!(settle(&engine, run).state, State::Succeeded);
        // Another attempt, but none of them failed.
        assert_eq!(desk.first(run).attempt, if done { 2 } else { 1 });
        assert!(failures(&desk.events(run)).is_empty());
        assert_eq!(store.calls("unknown_claims"), 1, "asked once");
        desk.assert_whole(run);
    }
}

/// Submits runs to an engine that is idle nearly always, until one of them is claimed with its submission: what came of that.
fn submit_to_idle(
    engine: &Engine,
    store: &Meddler,
    draft: impl Fn() -> RunDraft,
) -> Result<RunId, SubmitError> {
    engine.start();
    for _ in 0..100 {
        thread::sleep(Duration::from_millis(60));
        let submitted = engine.submit(draft());
        if store.calls("submit_and_claim") > 0 {
            return submitted;
        }
    }
    panic!("nothing was claimed with its submission");
}

#[test]
fn submission_with_unknown_outcome_releases_its_claims() {
    let desk = Desk::new();
    let first = AtomicBool::new(true);
    let store = Meddler::new(&desk.store, move |method| {
        let fails = method == "submit_and_claim" && first.swap(false, Ordering::SeqCst);
        if fails { Meddling::FailAfter(commit_unknown()) } else { Meddling::Pass }
    });
    // Its lease would end after the patience of this test.
    let engine = Engine::builder(Arc::clone(&store)).lease(Duration::from_hours(1));
    let engine = engine.handler("work", |(): (), context: Context| Ok(context.attempt())).build().unwrap();
    let last = Cell::new(RunId::from_u128(0));
    let draft = || {
        last.set(RunId::from_u128(last.get().as_u128() + 1));
        RunDraft::new().id(last.get()).task(TaskDraft::new("work").max_retries(0))
    };
    let told = submit_to_idle(&engine, &store, draft).unwrap_err();
    assert!(matches!(told, SubmitError::Store(StoreError::CommitOutcomeUnknown(_))), "{told:?}");
    let run = last.get();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(desk.first(run).attempt, 2, "handed back, and claimed again");
    assert!(failures(&desk.events(run)).is_empty());
    desk.assert_whole(run);
}

#[test]
fn corrupt_row_does_not_block_submission() {
    let desk = Desk::new();
    let store = Meddler::new(&desk.store, |method| match method {
        "submit_and_claim" => Meddling::Fail(unreadable()),
        _ => Meddling::Pass,
    });
    let engine = Engine::builder(Arc::clone(&store)).handler("work", work).build().unwrap();
    let run = submit_to_idle(&engine, &store, || RunDraft::new().task(TaskDraft::new("work"))).unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn stopping_engine_releases_unknown_claims() {
    let desk = Desk::new();
    let store = Meddler::new(&desk.store, |method| match method {
        "settle" => Meddling::FailAfter(commit_unknown()),
        _ => Meddling::Pass,
    });
    let engine = Engine::builder(Arc::clone(&store)).handler("work", work).build().unwrap();
    let run = desk.submit_all((0..50).map(|n| TaskDraft::new(format!("t {n}")).kind("work").max_retries(0)));
    engine.start();
    until("it claims", || store.calls("settle") > 0);
    engine.stop_handle().stop();
    engine.run_forever().unwrap();
    assert_eq!(desk.run(run).state_counts.pending, 50);
    assert!(failures(&desk.events(run)).is_empty());
}

/// Hears warnings about what cannot be read.
fn hearing(warnings: mpsc::Sender<String>) -> impl Fn(&Warning) + Send + Sync + 'static {
    move |warning| {
        if let Warning::CorruptRow(text) = warning {
            warnings.send(text.clone()).unwrap();
        }
    }
}

#[test]
fn corrupt_row_in_step_blocks_no_other_step() {
    for method in ["rescue", "retry", "promote", "fan_out", "aggregate", "next_due", "ready_kinds"] {
        let desk = Desk::new();
        let is_broken = Arc::new(AtomicBool::new(true));
        let store = {
            let is_broken = Arc::clone(&is_broken);
            Meddler::new(&desk.store, move |called| {
                let fails = called == method && is_broken.load(Ordering::SeqCst);
                if fails { Meddling::Fail(unreadable()) } else { Meddling::Pass }
            })
        };
        let (told, heard) = mpsc::channel();
        let engine = Engine::builder(Arc::clone(&store)).on_warning(hearing(told));
        let engine = engine.handler("work", work).handler("leaf", |(): (), _| Ok(())).build().unwrap();
        // What the others do goes on beside it.
        let leaf = desk.submit(TaskDraft::new("leaf"));
        let wide = desk.submit(TaskDraft::new("wide").kind("leaf").fan_out([(), (), ()]));
        engine.start();
        if method != "fan_out" {
            until("children are done", || desk.run(wide).state_counts.succeeded >= 3);
        }
        if method != "aggregate" {
            assert_eq!(settle(&engine, leaf).state, State::Succeeded, "{method}");
        }
        until("it was met often", || store.calls(method) > 3);
        assert_eq!(next(&heard), "task 7 cannot be read: somebody wrote into it", "{method}");
        is_broken.store(false, Ordering::SeqCst);
        let run = tree(&desk);
        assert_eq!(settle(&engine, run).state, State::Succeeded, "{method}");
        desk.assert_whole(run);
        assert!(heard.try_recv().is_err(), "said once");
    }
}

#[test]
fn results_beside_corrupt_row_are_recorded() {
    for method in ["settle", "release", "renew"] {
        let desk = Desk::new();
        let calls = AtomicU64::new(0);
        let store = Meddler::new(&desk.store, move |called| {
            // The whole batch never, half of it always.
            let fails = called == method && calls.fetch_add(1, Ordering::SeqCst).is_multiple_of(3);
            if fails { Meddling::Fail(unreadable()) } else { Meddling::Pass }
        });
        let (told, heard) = mpsc::channel();
        let engine = Engine::builder(store).lease(Duration::from_millis(300)).on_warning(hearing(told));
        let slow = |_: Value, context: Context| {
            let _ = context.sleep(Duration::from_millis(10));
            Ok(context.attempt())
        };
        let engine = engine.workers(8).handler("work", slow).build().unwrap();
        let run = desk.submit(TaskDraft::new("t").kind("work").input(json!({"fanout": 200})).max_retries(99));
        assert_eq!(settle(&engine, run).state, State::Succeeded, "{method}");
        desk.assert_whole(run);
        drop(engine);
        assert!(heard.try_iter().all(|text| text == "task 7 cannot be read: somebody wrote into it"));
    }
}

#[test]
fn engine_continues_after_rows_are_deleted() {
    for damage in [
        "DELETE FROM conductor_runs WHERE key = 1",
        "DELETE FROM conductor_tasks WHERE key = 1",
        "DELETE FROM conductor_tasks WHERE key > 3",
        "DELETE FROM conductor_inputs",
        "DELETE FROM conductor_kinds WHERE name = 'other'",
        "UPDATE conductor_kinds SET name = char(7) WHERE name = 'other'",
        "DELETE FROM conductor_engines",
        "DELETE FROM conductor_events",
        "UPDATE conductor_runs SET running = 9223372036854775807, pending = 9223372036854775807 WHERE key = 1",
        "UPDATE conductor_tasks SET children = 0, open_children = 0 WHERE key = 1",
        "UPDATE conductor_tasks SET attempt = 2000000000 WHERE key > 3",
    ] {
        let desk = Desk::on_disk();
        let (gate, waiting) = gate();
        let handler = move |_: Value, _: Context| {
            waiting.pass();
            Ok(())
        };
        let engine = desk.engine().workers(4).on_warning(|_| {}).handler("work", handler).build().unwrap();
        let hurt = TaskDraft::new("hurt").kind("work").input(json!({"fanout": 20})).max_retries(0);
        let hurt = desk.submit_all([hurt, TaskDraft::new("other")]);
        engine.start();
        until("some run", || desk.run(hurt).state_counts.running > 3);
        rusqlite::Connection::open(desk.path()).unwrap().execute_batch(damage).unwrap();
        gate.open();
        let well = engine.submit(RunDraft::new().task(TaskDraft::new("well").kind("work")));
        let well = well.unwrap();
        assert_eq!(settle(&engine, well).state, State::Succeeded, "{damage}");
        engine.stop_handle().stop();
        engine.run_forever().unwrap();
    }
}

#[test]
fn waiting_for_run_without_rows_is_inconsistent() {
    let desk = Desk::on_disk();
    let engine = desk.engine().on_warning(|_| {}).handler("work", work).build().unwrap();
    let run = tree(&desk);
    rusqlite::Connection::open(desk.path()).unwrap().execute_batch("DELETE FROM conductor_tasks").unwrap();
    let error = try_to_settle(&engine, run).unwrap_err();
    assert!(matches!(error, RunError::Inconsistent(damaged) if damaged == run), "{error}");
}

#[test]
fn engine_waits_indefinitely_for_busy_store() {
    let desk = Desk::new();
    let is_busy = Arc::new(AtomicBool::new(true));
    let store = {
        let is_busy = Arc::clone(&is_busy);
        Meddler::new(&desk.store, move |_| {
            if is_busy.load(Ordering::SeqCst) { Meddling::Fail(busy()) } else { Meddling::Pass }
        })
    };
    let engine = Engine::builder(Arc::clone(&store)).handler("work", work).build().unwrap();
    let run = tree(&desk);
    engine.start();
    let free = thread::spawn(move || {
        // Longer than anything else that fails is waited for.
        thread::sleep(Duration::from_secs(12));
        is_busy.store(false, Ordering::SeqCst);
    });
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    free.join().unwrap();
    // A look every 50 ms, by the engine and by whoever waits for the run, is no busy loop.
    assert!(store.calls("change_token") + store.calls("run") < 3000);
    desk.assert_whole(run);
}

#[test]
fn stop_waits_only_briefly_for_busy_store() {
    let desk = Desk::new();
    let is_busy = Arc::new(AtomicBool::new(false));
    let store = {
        let is_busy = Arc::clone(&is_busy);
        Meddler::new(&desk.store, move |method| match method {
            // What it holds can neither be recorded nor handed back.
            "release" | "settle" if is_busy.load(Ordering::SeqCst) => Meddling::Fail(busy()),
            _ => Meddling::Pass,
        })
    };
    let (began, told) = mpsc::channel();
    let handler = move |(): (), _: Context| {
        is_busy.store(true, Ordering::SeqCst);
        began.send(())?;
        Ok(())
    };
    let engine = Engine::builder(Arc::clone(&store)).handler("work", handler).build().unwrap();
    let _run = desk.submit(TaskDraft::new("work"));
    engine.start();
    next(&told);
    engine.stop_handle().stop();
    let began = Instant::now();
    let end = engine.run_forever();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(matches!(&end, Err(RunError::Store(fault)) if matches!(**fault, StoreError::Busy(_))), "{end:?}");
}

#[test]
fn permanent_store_error_ends_engine() {
    let desk = Desk::new();
    let broken = Arc::new(AtomicBool::new(false));
    let store = {
        let broken = Arc::clone(&broken);
        Meddler::new(&desk.store, move |_| {
            if broken.load(Ordering::SeqCst) {
                Meddling::Fail(StoreError::Backend("the table is gone".into()))
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
    assert!(matches!(&error, RunError::Store(fault) if matches!(**fault, StoreError::Backend(_))), "{error}");
    // Nobody waits for the handler any longer, and it is told.
    assert!(next(&heard));
    assert!(matches!(engine.run_forever(), Err(RunError::Store(_))));
    // The engine is gone, in the eyes of others.
    let other = desk.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    assert_eq!(settle(&other, run).state, State::Succeeded);
}

#[test]
fn repeated_io_errors_end_engine() {
    let desk = Desk::new();
    let store = Meddler::new(&desk.store, |_| Meddling::Fail(StoreError::Io("the disk is full".into())));
    let engine = Engine::builder(store).handler("work", work).build().unwrap();
    let run = desk.submit(TaskDraft::new("work"));
    let began = Instant::now();
    let error = try_to_settle(&engine, run).unwrap_err();
    assert!(matches!(&error, RunError::Store(fault) if matches!(**fault, StoreError::Io(_))), "{error}");
    assert!(error.to_string().ends_with("the disk is full"), "{error}");
    assert!(began.elapsed() >= Duration::from_secs(9));
    assert!(matches!(engine.run_forever(), Err(RunError::Store(_))));
}

#[test]
fn store_panic_ends_engine_and_waiters() {
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
