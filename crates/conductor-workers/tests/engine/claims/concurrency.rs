//! How many attempts run at once, and which settings an engine rejects.

use crate::support::fixture::{Fixture, settle};
use crate::support::gate::new_gate;
use crate::support::waiting::{Watchdog, receive, wait_until};
use conductor_model::{State, TaskDraft};
use conductor_store::Report;
use conductor_workers::{BuildError, Context, EngineBuilder, MAX_WORKERS, TaskError};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

/// Measures how many attempts run at once.
#[derive(Clone, Default)]
struct ConcurrencyMeter(Arc<(AtomicU32, AtomicU32)>);

impl ConcurrencyMeter {
    fn run_for(&self, time: Duration) {
        let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(time);
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }

    fn maximum(&self) -> u32 {
        self.0.1.load(Ordering::SeqCst)
    }
}

fn draft(kind: &str, index: u32) -> TaskDraft {
    TaskDraft::new(format!("{kind} {index}")).kind(kind)
}

#[test]
fn running_attempts_never_exceed_workers() {
    for workers in [1, 2, 5] {
        let fixture = Fixture::new();
        let meter = ConcurrencyMeter::default();
        let handler = {
            let meter = meter.clone();
            move |(): (), _: Context| {
                meter.run_for(Duration::from_millis(2));
                Ok(())
            }
        };
        let engine = fixture.engine().workers(workers).handler("work", handler).build().unwrap();
        let run = fixture.submit_all((0..60).map(|index| draft("work", index)));
        assert_eq!(settle(&engine, run).state, State::Succeeded);
        assert!(meter.maximum() <= workers, "{} of {workers}", meter.maximum());
    }
}

#[test]
fn all_workers_run_at_once() {
    let fixture = Fixture::new();
    let together = Arc::new(Barrier::new(8));
    // No attempt continues before all eight have started.
    let handler = move |(): (), _: Context| {
        together.wait();
        Ok(())
    };
    let engine = fixture.engine().workers(8).handler("meet", handler).build().unwrap();
    let run = fixture.submit_all((0..80).map(|index| draft("meet", index)));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn prefetched_tasks_behind_slow_ones_are_released() {
    const QUICK: u32 = 2500;
    let fixture = Fixture::new();
    let (gate, waiter) = new_gate();
    // Many quick tasks make the engine prefetch many claims. Then each attempt waits.
    let handler = move |(): (), context: Context| {
        if context.index() > QUICK {
            waiter.wait();
        }
        Ok(())
    };
    let engine = fixture.engine().workers(2).handler("work", handler).build().unwrap();
    let run = fixture.submit(TaskDraft::new("work").input(serde_json::json!({"fanout": QUICK + 3000})));
    engine.start();
    let counts = || fixture.run(run).state_counts;
    let _watchdog = Watchdog::new("release of prefetched claims");
    while counts().succeeded < u64::from(QUICK) || counts().running > 20 {
        std::thread::sleep(Duration::from_millis(20));
    }
    gate.open();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    fixture.assert_consistent(run);
}

#[test]
fn later_submission_runs_beside_waiting_attempt() {
    // Each first task waits for the second task of its pair, which is submitted later. A thread that is woken for one
    // attempt must not count as free for the next.
    let fixture = Fixture::new();
    let (start, started) = mpsc::channel();
    let (gate, waiter) = new_gate();
    let engine = fixture
        .engine()
        .workers(2)
        .handler("first", move |(): (), _| {
            start.send(())?;
            waiter.wait();
            Ok(())
        })
        .handler("second", move |(): (), _| {
            gate.let_one_through();
            Ok(())
        })
        .build()
        .unwrap();
    engine.start();
    for _ in 0..50 {
        let first = fixture.submit(TaskDraft::new("first"));
        engine.wake();
        receive(&started);
        let second = fixture.submit(TaskDraft::new("second"));
        engine.wake();
        assert_eq!(settle(&engine, second).state, State::Succeeded);
        assert_eq!(settle(&engine, first).state, State::Succeeded);
    }
}

#[test]
fn kind_limit_holds_while_other_kinds_continue() {
    let fixture = Fixture::new();
    let meter = ConcurrencyMeter::default();
    let (started, starts) = mpsc::channel();
    let (gate, waiter) = new_gate();
    let limited = {
        let meter = meter.clone();
        move |(): (), _: Context| {
            started.send(())?;
            waiter.wait();
            meter.run_for(Duration::from_millis(1));
            Ok(())
        }
    };
    let engine = fixture
        .engine()
        .workers(6)
        .handler("limited", limited)
        .kind_limit("limited", 2)
        .handler("free", |(): (), _| Ok(()))
        .build()
        .unwrap();
    let slow = fixture.submit_all((0..10).map(|index| draft("limited", index)));
    let quick = fixture.submit_all((0..50).map(|index| draft("free", index)));
    // If this test fails, the gate is dropped before the engine, which waits for its handlers.
    let gate = gate;
    engine.start();
    receive(&starts);
    receive(&starts);
    // Two attempts wait, eight tasks of the kind are ready, and all other tasks are done.
    assert_eq!(settle(&engine, quick).state, State::Succeeded);
    assert!(starts.try_recv().is_err(), "a third attempt started");
    gate.open();
    assert_eq!(settle(&engine, slow).state, State::Succeeded);
    assert!(meter.maximum() <= 2, "{} at once", meter.maximum());
}

#[test]
fn kind_limit_above_workers_is_accepted() {
    let fixture = Fixture::new();
    let engine = fixture
        .engine()
        .workers(2)
        .kind_limit("work", 1000)
        .handler("work", |(): (), _| Ok(()))
        .build()
        .unwrap();
    let run = fixture.submit_all((0..20).map(|index| draft("work", index)));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn invalid_settings_are_rejected() {
    let fixture = Fixture::new();
    let handler = |(): (), _: Context| Ok::<_, TaskError>(());
    let rejected = |builder: EngineBuilder| builder.build().unwrap_err();
    let out_of_range = |error: BuildError| match error {
        BuildError::OutOfRange { setting, .. } => setting,
        other => panic!("{other}"),
    };
    assert_eq!(out_of_range(rejected(fixture.engine().workers(0))), "workers");
    assert_eq!(out_of_range(rejected(fixture.engine().workers(MAX_WORKERS + 1))), "workers");
    assert_eq!(out_of_range(rejected(fixture.engine().spare_threads(MAX_WORKERS + 1))), "spare_threads");
    assert_eq!(out_of_range(rejected(fixture.engine().lease(Duration::from_millis(99)))), "lease");
    assert_eq!(out_of_range(rejected(fixture.engine().lease(Duration::from_secs(86_401)))), "lease");
    let limit = fixture.engine().handler("a", handler).kind_limit("a", 0);
    assert_eq!(out_of_range(rejected(limit)), "kind_limit");
    let error = rejected(fixture.engine().handler("a", handler).kind_limit("b", 3));
    assert_eq!(error, BuildError::LimitWithoutHandler("b".into()));
    let error = rejected(fixture.engine().handler("a", handler).handler("a", handler));
    assert!(matches!(&error, BuildError::DuplicateHandler(kind) if kind.as_str() == "a"), "{error}");
    let error = rejected(fixture.engine().handler("", handler));
    assert!(matches!(&error, BuildError::InvalidKind { kind, .. } if kind.is_empty()), "{error}");
    assert!(fixture.engine().workers(MAX_WORKERS).handler("a", handler).build().is_ok());
}

#[test]
fn engine_without_handlers_takes_steps() {
    let fixture = Fixture::new();
    let engine = fixture.engine().build().unwrap();
    let run = fixture.submit(TaskDraft::new("parent").input(serde_json::json!({"fanout": 2})));
    engine.start();
    wait_until("the children exist", || fixture.tasks(run).len() == 3);
    for child in &fixture.tasks(run)[1..] {
        fixture.report(Report::succeeded(child.id));
    }
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}
