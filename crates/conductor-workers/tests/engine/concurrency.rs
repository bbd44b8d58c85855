//! How many attempts run at once, and what an engine refuses to be.

use crate::desk::{Desk, Patience, gate, next, settle};
use conductor_model::{State, TaskDraft};
use conductor_workers::{BuildError, Context, MAX_WORKERS, TaskError};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

/// Counts how many are inside at once.
#[derive(Clone, Default)]
struct Inside(Arc<(AtomicU32, AtomicU32)>);

impl Inside {
    fn spend(&self, time: Duration) {
        let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(time);
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }

    fn most(&self) -> u32 {
        self.0.1.load(Ordering::SeqCst)
    }
}

fn draft(kind: &str, nth: u32) -> TaskDraft {
    TaskDraft::new(format!("{kind} {nth}")).kind(kind)
}

#[test]
fn running_attempts_never_exceed_workers() {
    for workers in [1, 2, 5] {
        let desk = Desk::new();
        let inside = Inside::default();
        let handler = {
            let inside = inside.clone();
            move |(): (), _: Context| {
                inside.spend(Duration::from_millis(2));
                Ok(())
            }
        };
        let engine = desk.engine().workers(workers).handler("work", handler).build().unwrap();
        let run = desk.submit_all((0..60).map(|nth| draft("work", nth)));
        assert_eq!(settle(&engine, run).state, State::Succeeded);
        assert!(inside.most() <= workers, "{} of {workers}", inside.most());
    }
}

#[test]
fn all_workers_run_at_once() {
    let desk = Desk::new();
    let together = Arc::new(Barrier::new(8));
    // None of them gets on before all eight are there.
    let handler = move |(): (), _: Context| {
        together.wait();
        Ok(())
    };
    let engine = desk.engine().workers(8).handler("meet", handler).build().unwrap();
    let run = desk.submit_all((0..80).map(|nth| draft("meet", nth)));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn prefetched_tasks_behind_slow_ones_are_released() {
    const QUICK: u32 = 2500;
    let desk = Desk::new();
    let (hold, wait) = gate();
    // Many quick tasks make the engine claim far ahead; then each one waits.
    let handler = move |(): (), context: Context| {
        if context.index() > QUICK {
            wait.pass();
        }
        Ok(())
    };
    let engine = desk.engine().workers(2).handler("work", handler).build().unwrap();
    let run = desk.submit(TaskDraft::new("work").input(serde_json::json!({"fanout": QUICK + 3000})));
    engine.start();
    let tally = || desk.run(run).state_counts;
    let _patience = Patience::of("tasks to go back");
    while tally().succeeded < u64::from(QUICK) || tally().running > 20 {
        std::thread::sleep(Duration::from_millis(20));
    }
    hold.open();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    desk.assert_whole(run);
}

#[test]
fn later_submission_runs_beside_waiting_attempt() {
    // Each of the first waits for the second of its pair, which is submitted only then: a thread that is woken for one
    // attempt must not count as one that is free for the next.
    let desk = Desk::new();
    let (first, began) = mpsc::channel();
    let (hold, wait) = gate();
    let engine = desk
        .engine()
        .workers(2)
        .handler("first", move |(): (), _| {
            first.send(())?;
            wait.pass();
            Ok(())
        })
        .handler("second", move |(): (), _| {
            hold.let_through();
            Ok(())
        })
        .build()
        .unwrap();
    engine.start();
    for _ in 0..50 {
        let one = desk.submit(TaskDraft::new("first"));
        engine.wake();
        next(&began);
        let other = desk.submit(TaskDraft::new("second"));
        engine.wake();
        assert_eq!(settle(&engine, other).state, State::Succeeded);
        assert_eq!(settle(&engine, one).state, State::Succeeded);
    }
}

#[test]
fn kind_limit_holds_while_other_kinds_continue() {
    let desk = Desk::new();
    let inside = Inside::default();
    let (began, told) = mpsc::channel();
    let (hold, wait) = gate();
    let limited = {
        let inside = inside.clone();
        move |(): (), _: Context| {
            began.send(())?;
            wait.pass();
            inside.spend(Duration::from_millis(1));
            Ok(())
        }
    };
    let engine = desk
        .engine()
        .workers(6)
        .handler("limited", limited)
        .kind_limit("limited", 2)
        .handler("free", |(): (), _| Ok(()))
        .build()
        .unwrap();
    let slow = desk.submit_all((0..10).map(|nth| draft("limited", nth)));
    let quick = desk.submit_all((0..50).map(|nth| draft("free", nth)));
    // Dropped before the engine, which waits for its handlers, should this test fail.
    let hold = hold;
    engine.start();
    next(&told);
    next(&told);
    // Two are held up, eight more of them are ready, and all the others are done.
    assert_eq!(settle(&engine, quick).state, State::Succeeded);
    assert!(told.try_recv().is_err(), "a third one began");
    hold.open();
    assert_eq!(settle(&engine, slow).state, State::Succeeded);
    assert!(inside.most() <= 2, "{} at once", inside.most());
}

#[test]
fn kind_limit_above_workers_is_accepted() {
    let desk = Desk::new();
    let engine = desk
        .engine()
        .workers(2)
        .kind_limit("work", 1000)
        .handler("work", |(): (), _| Ok(()))
        .build()
        .unwrap();
    let run = desk.submit_all((0..20).map(|nth| draft("work", nth)));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn invalid_settings_are_rejected() {
    let desk = Desk::new();
    let handler = |(): (), _: Context| Ok::<_, TaskError>(());
    let refused = |builder: conductor_workers::EngineBuilder| builder.build().unwrap_err();
    let out_of_range = |error: BuildError| match error {
        BuildError::OutOfRange { what, .. } => what,
        other => panic!("{other}"),
    };
    assert_eq!(out_of_range(refused(desk.engine().workers(0))), "workers");
    assert_eq!(out_of_range(refused(desk.engine().workers(MAX_WORKERS + 1))), "workers");
    assert_eq!(out_of_range(refused(desk.engine().spare_threads(MAX_WORKERS + 1))), "spare_threads");
    assert_eq!(out_of_range(refused(desk.engine().lease(Duration::from_millis(99)))), "lease");
    assert_eq!(out_of_range(refused(desk.engine().lease(Duration::from_secs(86_401)))), "lease");
    let limit = desk.engine().handler("a", handler).kind_limit("a", 0);
    assert_eq!(out_of_range(refused(limit)), "the limit of a kind");
    let error = refused(desk.engine().handler("a", handler).kind_limit("b", 3));
    assert_eq!(error, BuildError::LimitWithoutHandler("b".into()));
    let error = refused(desk.engine().handler("a", handler).handler("a", handler));
    assert!(matches!(&error, BuildError::DuplicateHandler(kind) if kind.as_str() == "a"), "{error}");
    let error = refused(desk.engine().handler("", handler));
    assert!(matches!(&error, BuildError::InvalidKind { kind, .. } if kind.is_empty()), "{error}");
    assert!(desk.engine().workers(MAX_WORKERS).handler("a", handler).build().is_ok());
}

#[test]
fn engine_without_handlers_takes_steps() {
    let desk = Desk::new();
    let engine = desk.engine().build().unwrap();
    let run = desk.submit(TaskDraft::new("parent").input(serde_json::json!({"fanout": 2})));
    engine.start();
    crate::desk::until("the children exist", || desk.tasks(run).len() == 3);
    for child in &desk.tasks(run)[1..] {
        desk.report(crate::desk::succeeded(child.id));
    }
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}
