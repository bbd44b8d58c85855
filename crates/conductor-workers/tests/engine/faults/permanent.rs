//! Errors that end the engine.

use super::{tree, work};
use crate::faulty_store::{FaultyStore, Injection};
use crate::support::fixture::{Fixture, settle, try_settle};
use crate::support::waiting::receive;
use conductor_model::{State, TaskDraft};
use conductor_store::StoreError;
use conductor_workers::{Context, Engine, RunError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

#[test]
fn permanent_store_error_ends_engine() {
    let fixture = Fixture::new();
    let is_failing = Arc::new(AtomicBool::new(false));
    let store = {
        let is_failing = Arc::clone(&is_failing);
        FaultyStore::new(&fixture.store, move |_| {
            if is_failing.load(Ordering::SeqCst) {
                Injection::Fail(StoreError::Backend("the table is missing".into()))
            } else {
                Injection::Pass
            }
        })
    };
    let (sender, cancelled) = mpsc::channel();
    let handler = move |(): (), context: Context| {
        is_failing.store(true, Ordering::SeqCst);
        sender.send(context.sleep(Duration::from_hours(1)))?;
        Ok(())
    };
    let engine = Engine::builder(store).handler("work", handler).build().unwrap();
    let run = fixture.submit(TaskDraft::new("work"));
    let error = try_settle(&engine, run).unwrap_err();
    assert!(matches!(&error, RunError::Store(fault) if matches!(**fault, StoreError::Backend(_))), "{error}");
    // The engine does not wait for the handler, and cancels it.
    assert!(receive(&cancelled));
    assert!(matches!(engine.run_forever(), Err(RunError::Store(_))));
    // For other engines this engine has ended.
    let other = fixture.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    assert_eq!(settle(&other, run).state, State::Succeeded);
}

#[test]
fn repeated_io_errors_end_engine() {
    let fixture = Fixture::new();
    let store =
        FaultyStore::new(&fixture.store, |_| Injection::Fail(StoreError::Io("the disk is full".into())));
    let engine = Engine::builder(store).handler("work", work).build().unwrap();
    let run = fixture.submit(TaskDraft::new("work"));
    let start = Instant::now();
    let error = try_settle(&engine, run).unwrap_err();
    assert!(matches!(&error, RunError::Store(fault) if matches!(**fault, StoreError::Io(_))), "{error}");
    assert!(error.to_string().ends_with("the disk is full"), "{error}");
    assert!(start.elapsed() >= Duration::from_secs(9));
    assert!(matches!(engine.run_forever(), Err(RunError::Store(_))));
}

#[test]
fn store_panic_ends_engine_and_waiters() {
    let fixture = Fixture::new();
    let store = FaultyStore::new(&fixture.store, |method| {
        assert!(method != "fan_out", "a panic of the store");
        Injection::Pass
    });
    let engine = Engine::builder(store).handler("work", work).build().unwrap();
    let run = tree(&fixture);
    assert!(matches!(try_settle(&engine, run), Err(RunError::Panicked)));
    assert!(matches!(engine.run_forever(), Err(RunError::Panicked)));
}
