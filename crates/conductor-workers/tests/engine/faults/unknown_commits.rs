//! A store that does not know whether a commit succeeded.

use super::{fail_on_some_calls, submit_to_idle_engine, tree, work};
use crate::faulty_store::{FaultyStore, Injection, commit_unknown};
use crate::support::fixture::{Fixture, failures, settle};
use crate::support::waiting::wait_until;
use conductor_model::{RunDraft, RunId, State, TaskDraft};
use conductor_store::{StoreError, SubmitError};
use conductor_workers::{Context, Engine};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn success_is_recorded_once_after_unknown_commits() {
    for (seed, takes_effect) in [(0, true), (1, false), (2, true), (3, false)] {
        let fixture = Fixture::new();
        let injection = move || {
            if takes_effect {
                Injection::FailAfter(commit_unknown())
            } else {
                Injection::Fail(commit_unknown())
            }
        };
        let store = FaultyStore::new(&fixture.store, fail_on_some_calls(seed, injection));
        let engine =
            Engine::builder(store).lease(Duration::from_millis(200)).handler("work", work).build().unwrap();
        let run = tree(&fixture);
        assert_eq!(settle(&engine, run).state, State::Succeeded, "seed {seed}, takes effect: {takes_effect}");
        fixture.assert_consistent(run);
    }
}

#[test]
fn claims_of_unknown_commit_are_released_immediately() {
    for takes_effect in [true, false] {
        let fixture = Fixture::new();
        let first = AtomicBool::new(true);
        let store = FaultyStore::new(&fixture.store, move |method| match takes_effect {
            _ if method != "settle" || !first.swap(false, Ordering::SeqCst) => Injection::Pass,
            true => Injection::FailAfter(commit_unknown()),
            false => Injection::Fail(commit_unknown()),
        });
        // The lease is longer than the time limit of this test.
        let engine = Engine::builder(Arc::clone(&store)).lease(Duration::from_hours(1));
        let engine =
            engine.handler("work", |(): (), context: Context| Ok(context.attempt())).build().unwrap();
        let run = fixture.submit(TaskDraft::new("work").max_retries(0));
        assert_eq!(settle(&engine, run).state, State::Succeeded);
        // No attempt failed.
        assert_eq!(fixture.first_task(run).attempt, if takes_effect { 2 } else { 1 });
        assert!(failures(&fixture.events(run)).is_empty());
        assert_eq!(store.calls("unknown_claims"), 1, "one lookup of unknown claims");
        fixture.assert_consistent(run);
    }
}

#[test]
fn submission_with_unknown_outcome_releases_its_claims() {
    let fixture = Fixture::new();
    let first = AtomicBool::new(true);
    let store = FaultyStore::new(&fixture.store, move |method| {
        let fails = method == "submit_and_claim" && first.swap(false, Ordering::SeqCst);
        if fails { Injection::FailAfter(commit_unknown()) } else { Injection::Pass }
    });
    // The lease is longer than the time limit of this test.
    let engine = Engine::builder(Arc::clone(&store)).lease(Duration::from_hours(1));
    let engine = engine.handler("work", |(): (), context: Context| Ok(context.attempt())).build().unwrap();
    let last = Cell::new(RunId::from_u128(0));
    let draft = || {
        last.set(RunId::from_u128(last.get().as_u128() + 1));
        RunDraft::new().id(last.get()).task(TaskDraft::new("work").max_retries(0))
    };
    let error = submit_to_idle_engine(&engine, &store, draft).unwrap_err();
    assert!(matches!(error, SubmitError::Store(StoreError::CommitOutcomeUnknown(_))), "{error:?}");
    let run = last.get();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(fixture.first_task(run).attempt, 2, "released and claimed again");
    assert!(failures(&fixture.events(run)).is_empty());
    fixture.assert_consistent(run);
}

#[test]
fn stopping_engine_releases_unknown_claims() {
    let fixture = Fixture::new();
    let store = FaultyStore::new(&fixture.store, |method| match method {
        "settle" => Injection::FailAfter(commit_unknown()),
        _ => Injection::Pass,
    });
    let engine = Engine::builder(Arc::clone(&store)).handler("work", work).build().unwrap();
    let run =
        fixture.submit_all((0..50).map(|n| TaskDraft::new(format!("t {n}")).kind("work").max_retries(0)));
    engine.start();
    wait_until("the engine claims", || store.calls("settle") > 0);
    engine.stop_handle().stop();
    engine.run_forever().unwrap();
    assert_eq!(fixture.run(run).state_counts.pending, 50);
    assert!(failures(&fixture.events(run)).is_empty());
}
