//! What ended long ago is removed by the engine, if it is told so.

use crate::desk::{Desk, settle, until};
use crate::meddler::{Meddler, Meddling};
use conductor_conformance::assert_verified;
use conductor_model::{State, TaskDraft};
use conductor_store::{Query, Scope};
use conductor_workers::{BuildError, Engine};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn settled_run_is_pruned_after_retention() {
    let desk = Desk::on_disk();
    let keep = Duration::from_secs(1);
    let engine = desk.engine().handler("work", |n: u32, _| Ok(n)).retention(keep).build().unwrap();
    engine.start();
    let run = desk.submit(TaskDraft::new("work").fan_out(0..5000));
    let ended = settle(&engine, run);
    assert_eq!((ended.state, ended.state_counts.succeeded), (State::Succeeded, 5001));
    let waits = desk.submit(TaskDraft::new("nobody"));
    until("the run is gone", || desk.store.run(run).unwrap().is_none());
    let now = desk.env.now();
    assert!(now.millis_since(ended.updated_at) >= 1000, "{now}, after an end at {}", ended.updated_at);
    // The engine works on while what is left of it goes.
    let again = desk.submit(TaskDraft::new("work").fan_out([1]));
    assert_eq!(settle(&engine, again).state, State::Succeeded);
    until("all of it is gone", || desk.store.state_counts(Scope::All).unwrap().total() == 1);
    assert!(desk.store.run(waits).unwrap().is_some());
    assert_verified(&*desk.store);
}

#[test]
fn engine_without_retention_prunes_nothing() {
    let desk = Desk::new();
    let store = Meddler::new(&desk.store, |_| Meddling::Pass);
    let engine = Engine::builder(Arc::clone(&store)).handler("work", |(): (), _| Ok(())).build().unwrap();
    let run = desk.submit(TaskDraft::new("work"));
    settle(&engine, run);
    assert_eq!(store.calls("prune"), 0);
}

#[test]
fn retention_below_one_second_is_rejected() {
    let desk = Desk::new();
    let refused = desk.engine().retention(Duration::from_millis(999)).build().unwrap_err();
    assert!(matches!(refused, BuildError::OutOfRange { what: "keep_settled_for", .. }), "{refused}");
}
