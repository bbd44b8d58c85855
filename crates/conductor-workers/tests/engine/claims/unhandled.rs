//! Kinds without a handler in the engine.

use crate::faulty_store::FaultyStore;
use crate::support::fixture::{Fixture, settle, try_settle};
use crate::support::waiting::wait_until;
use conductor_model::{State, TaskDraft};
use conductor_workers::{Engine, Warning};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

#[test]
fn unhandled_kind_causes_no_claims_or_busy_loop() {
    let fixture = Fixture::new();
    let store = FaultyStore::counting(&fixture.store);
    let engine =
        Engine::builder(Arc::clone(&store)).handler("known", |(): (), _| Ok(())).on_warning(|_| {}).build();
    let engine = engine.unwrap();
    let unhandled =
        fixture.submit_all((0..10).map(|index| TaskDraft::new(format!("t {index}")).kind("unhandled")));
    let known = fixture.submit(TaskDraft::new("known"));
    settle(&engine, known);
    thread::sleep(Duration::from_millis(200));
    let before = store.all_calls();
    thread::sleep(Duration::from_secs(1));
    let calls = store.all_calls() - before;
    // 20 polls, and 4 rescues with a turn each. The limit allows twice that, for a machine that is late and catches up.
    assert!(calls < 200, "{calls} calls in an idle second");
    assert!(fixture.tasks(unhandled).iter().all(|task| task.state == State::Pending && task.attempt == 0));
}

#[test]
fn unhandled_kind_is_reported_once() {
    let fixture = Fixture::new();
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let listener = {
        let warnings = Arc::clone(&warnings);
        move |warning: &Warning| warnings.lock().unwrap().push(warning.to_string())
    };
    let engine = fixture.engine().handler("known", |(): (), _| Ok(())).on_warning(listener).build().unwrap();
    engine.start();
    fixture.submit_all((0..10).map(|index| TaskDraft::new(format!("t {index}")).kind("unhandled")));
    let warning = |kind: &str| {
        format!(
            "tasks of kind {kind:?} are ready, but this engine has no handler for them; register a handler, or ignore \
             this if another engine handles them"
        )
    };
    wait_until("the first warning arrives", || !warnings.lock().unwrap().is_empty());
    // More tasks of the same kind, with a pause after each, and then a task of another kind.
    for _ in 0..3 {
        let run = fixture.submit_all([TaskDraft::new("unhandled"), TaskDraft::new("known")]);
        wait_until("the engine polls again", || fixture.tasks(run)[1].state == State::Succeeded);
        thread::sleep(Duration::from_millis(120));
    }
    fixture.submit(TaskDraft::new("another"));
    wait_until("the second warning arrives", || warnings.lock().unwrap().len() > 1);
    assert_eq!(*warnings.lock().unwrap(), [warning("unhandled"), warning("another")]);
}

#[test]
fn panicking_warning_listener_ends_engine() {
    let fixture = Fixture::new();
    let engine = fixture
        .engine()
        .wait_for_external_work()
        .on_warning(|_| panic!("a panic of the listener"))
        .build()
        .unwrap();
    let run = fixture.submit(TaskDraft::new("unhandled"));
    let error = try_settle(&engine, run).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the engine's own thread panicked; see the message of the panic on standard error"
    );
    assert_eq!(
        engine.run_forever().unwrap_err().to_string(),
        "the engine's own thread panicked; see the message of the panic on standard error"
    );
}
