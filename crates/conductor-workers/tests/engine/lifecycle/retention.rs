//! An engine with a retention prunes settled runs.

use crate::faulty_store::FaultyStore;
use crate::support::fixture::{Fixture, settle};
use crate::support::waiting::wait_until;
use conductor_conformance::assert_verified;
use conductor_model::{State, TaskDraft};
use conductor_store::{Query, Scope};
use conductor_workers::{BuildError, Engine};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn settled_run_is_pruned_after_retention() {
    let fixture = Fixture::on_disk();
    let retention = Duration::from_secs(1);
    let engine = fixture.engine().handler("work", |n: u32, _| Ok(n)).retention(retention).build().unwrap();
    engine.start();
    let run = fixture.submit(TaskDraft::new("work").fan_out(0..5000));
    let ended = settle(&engine, run);
    assert_eq!((ended.state, ended.state_counts.succeeded), (State::Succeeded, 5001));
    let open = fixture.submit(TaskDraft::new("unhandled"));
    wait_until("the run is gone", || fixture.store.run(run).unwrap().is_none());
    let now = fixture.env.now();
    assert!(now.millis_since(ended.updated_at) >= 1000, "pruned at {now}, settled at {}", ended.updated_at);
    // The engine runs other tasks while it deletes the rest.
    let again = fixture.submit(TaskDraft::new("work").fan_out([1]));
    assert_eq!(settle(&engine, again).state, State::Succeeded);
    wait_until("all its tasks are gone", || fixture.store.state_counts(Scope::All).unwrap().total() == 1);
    assert!(fixture.store.run(open).unwrap().is_some());
    assert_verified(&*fixture.store);
}

#[test]
fn engine_without_retention_prunes_nothing() {
    let fixture = Fixture::new();
    let store = FaultyStore::counting(&fixture.store);
    let engine = Engine::builder(Arc::clone(&store)).handler("work", |(): (), _| Ok(())).build().unwrap();
    let run = fixture.submit(TaskDraft::new("work"));
    settle(&engine, run);
    assert_eq!(store.calls("prune"), 0);
}

#[test]
fn retention_below_one_second_is_rejected() {
    let fixture = Fixture::new();
    let error = fixture.engine().retention(Duration::from_millis(999)).build().unwrap_err();
    assert!(matches!(error, BuildError::OutOfRange { setting: "retention", .. }), "{error}");
}
