//! Rows that the store cannot read, or that another program has deleted.

use super::{submit_to_idle_engine, tree, work};
use crate::faulty_store::{FaultyStore, Injection, corrupt_row};
use crate::support::fixture::{Fixture, settle, try_settle};
use crate::support::gate::new_gate;
use crate::support::waiting::{receive, wait_until};
use conductor_model::{RunDraft, State, TaskDraft};
use conductor_workers::{Context, Engine, RunError, Warning};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Creates a listener that sends the texts of warnings about corrupt rows.
fn send_corrupt_rows(warnings: mpsc::Sender<String>) -> impl Fn(&Warning) + Send + Sync + 'static {
    move |warning| {
        if let Warning::CorruptRow(text) = warning {
            warnings.send(text.clone()).unwrap();
        }
    }
}

#[test]
fn corrupt_row_does_not_block_submission() {
    let fixture = Fixture::new();
    let store = FaultyStore::new(&fixture.store, |method| match method {
        "submit_and_claim" => Injection::Fail(corrupt_row()),
        _ => Injection::Pass,
    });
    let engine = Engine::builder(Arc::clone(&store)).handler("work", work).build().unwrap();
    let run =
        submit_to_idle_engine(&engine, &store, || RunDraft::new().task(TaskDraft::new("work"))).unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn corrupt_row_in_step_blocks_no_other_step() {
    for method in ["rescue", "retry", "promote", "fan_out", "aggregate", "next_due", "ready_kinds"] {
        let fixture = Fixture::new();
        let is_failing = Arc::new(AtomicBool::new(true));
        let store = {
            let is_failing = Arc::clone(&is_failing);
            FaultyStore::new(&fixture.store, move |called| {
                let fails = called == method && is_failing.load(Ordering::SeqCst);
                if fails { Injection::Fail(corrupt_row()) } else { Injection::Pass }
            })
        };
        let (sender, warnings) = mpsc::channel();
        let engine = Engine::builder(Arc::clone(&store)).on_warning(send_corrupt_rows(sender));
        let engine = engine.handler("work", work).handler("leaf", |(): (), _| Ok(())).build().unwrap();
        // All other steps continue.
        let leaf = fixture.submit(TaskDraft::new("leaf"));
        let wide = fixture.submit(TaskDraft::new("wide").kind("leaf").fan_out([(), (), ()]));
        engine.start();
        if method != "fan_out" {
            wait_until("the children are done", || fixture.run(wide).state_counts.succeeded >= 3);
        }
        if method != "aggregate" {
            assert_eq!(settle(&engine, leaf).state, State::Succeeded, "{method}");
        }
        wait_until("the step has failed often", || store.calls(method) > 3);
        assert_eq!(receive(&warnings), "task 7 cannot be read: an injected fault", "{method}");
        is_failing.store(false, Ordering::SeqCst);
        let run = tree(&fixture);
        assert_eq!(settle(&engine, run).state, State::Succeeded, "{method}");
        fixture.assert_consistent(run);
        assert!(warnings.try_recv().is_err(), "one warning");
    }
}

#[test]
fn results_beside_corrupt_row_are_recorded() {
    for method in ["settle", "release", "renew"] {
        let fixture = Fixture::new();
        let calls = AtomicU64::new(0);
        let store = FaultyStore::new(&fixture.store, move |called| {
            // The call with the whole batch fails. The calls with its halves succeed.
            let fails = called == method && calls.fetch_add(1, Ordering::SeqCst).is_multiple_of(3);
            if fails { Injection::Fail(corrupt_row()) } else { Injection::Pass }
        });
        let (sender, warnings) = mpsc::channel();
        let engine =
            Engine::builder(store).lease(Duration::from_millis(300)).on_warning(send_corrupt_rows(sender));
        let slow = |_: Value, context: Context| {
            let _ = context.sleep(Duration::from_millis(10));
            Ok(context.attempt())
        };
        let engine = engine.workers(8).handler("work", slow).build().unwrap();
        let run =
            fixture.submit(TaskDraft::new("t").kind("work").input(json!({"fanout": 200})).max_retries(99));
        assert_eq!(settle(&engine, run).state, State::Succeeded, "{method}");
        fixture.assert_consistent(run);
        drop(engine);
        assert!(warnings.try_iter().all(|text| text == "task 7 cannot be read: an injected fault"));
    }
}

#[test]
fn engine_continues_after_rows_are_deleted() {
    for damage in [
        "DELETE FROM conductor_runs WHERE key = 1",
        "DELETE FROM conductor_parents",
        "DELETE FROM conductor_blocks WHERE block = 1",
        "DELETE FROM conductor_blocks WHERE block > 2",
        "DELETE FROM conductor_blocks",
        "DELETE FROM conductor_ranges",
        "DELETE FROM conductor_ranges WHERE state = 1",
        "DELETE FROM conductor_inputs",
        "DELETE FROM conductor_kinds WHERE name = 'other'",
        "UPDATE conductor_kinds SET name = char(7) WHERE name = 'other'",
        "DELETE FROM conductor_engines",
        "DELETE FROM conductor_events",
        "UPDATE conductor_runs SET running = 9223372036854775807, pending = 9223372036854775807 WHERE key = 1",
        "UPDATE conductor_parents SET children = 0, open_children = 0",
        "UPDATE conductor_ranges SET attempt = 2000000000",
    ] {
        let fixture = Fixture::on_disk();
        let (gate, waiter) = new_gate();
        let handler = move |_: Value, _: Context| {
            waiter.wait();
            Ok(())
        };
        let engine = fixture.engine().workers(4).on_warning(|_| {}).handler("work", handler).build().unwrap();
        let damaged = TaskDraft::new("damaged").kind("work").input(json!({"fanout": 20})).max_retries(0);
        let damaged = fixture.submit_all([damaged, TaskDraft::new("other")]);
        engine.start();
        wait_until("some children run", || fixture.run(damaged).state_counts.running > 3);
        rusqlite::Connection::open(fixture.path()).unwrap().execute_batch(damage).unwrap();
        gate.open();
        let intact = engine.submit(RunDraft::new().task(TaskDraft::new("intact").kind("work")));
        let intact = intact.unwrap();
        assert_eq!(settle(&engine, intact).state, State::Succeeded, "{damage}");
        engine.stop_handle().stop();
        engine.run_forever().unwrap();
    }
}

#[test]
fn waiting_for_run_without_rows_is_inconsistent() {
    let fixture = Fixture::on_disk();
    let engine = fixture.engine().on_warning(|_| {}).handler("work", work).build().unwrap();
    let run = tree(&fixture);
    let damage = "DELETE FROM conductor_blocks; DELETE FROM conductor_ranges; DELETE FROM conductor_parents";
    rusqlite::Connection::open(fixture.path()).unwrap().execute_batch(damage).unwrap();
    let error = try_settle(&engine, run).unwrap_err();
    assert!(matches!(error, RunError::Inconsistent(inconsistent) if inconsistent == run), "{error}");
}
