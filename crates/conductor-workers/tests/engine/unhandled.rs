//! Kinds that nobody here handles.

use crate::desk::{Desk, settle, until};
use crate::meddler::{Meddler, Meddling};
use conductor_model::{State, TaskDraft};
use conductor_workers::{Engine, Warning};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

#[test]
fn unhandled_kind_causes_no_claims_or_busy_loop() {
    let desk = Desk::new();
    let store = Meddler::new(&desk.store, |_| Meddling::Pass);
    let engine =
        Engine::builder(Arc::clone(&store)).handler("known", |(): (), _| Ok(())).on_warning(|_| {}).build();
    let engine = engine.unwrap();
    let strange = desk.submit_all((0..10).map(|nth| TaskDraft::new(format!("t {nth}")).kind("strange")));
    let known = desk.submit(TaskDraft::new("known"));
    settle(&engine, known);
    thread::sleep(Duration::from_millis(200));
    let before = store.all_calls();
    thread::sleep(Duration::from_secs(1));
    let calls = store.all_calls() - before;
    // 20 polls, and 4 looks for the dead with a turn each; twice that for a machine that is late and then in a hurry.
    assert!(calls < 200, "{calls} calls in a second of nothing");
    assert!(desk.tasks(strange).iter().all(|task| task.state == State::Pending && task.attempt == 0));
}

#[test]
fn unhandled_kind_is_reported_once() {
    let desk = Desk::new();
    let said = Arc::new(Mutex::new(Vec::new()));
    let listener = {
        let said = Arc::clone(&said);
        move |warning: &Warning| said.lock().unwrap().push(warning.to_string())
    };
    let engine = desk.engine().handler("known", |(): (), _| Ok(())).on_warning(listener).build().unwrap();
    engine.start();
    desk.submit_all((0..10).map(|nth| TaskDraft::new(format!("t {nth}")).kind("strange")));
    let words =
        |kind: &str| format!("tasks of kind {kind} are ready, and this engine has no handler for them");
    until("it is said", || !said.lock().unwrap().is_empty());
    // More of the same kind, a pause after each, and another kind at last.
    for _ in 0..3 {
        let run = desk.submit_all([TaskDraft::new("strange"), TaskDraft::new("known")]);
        until("it looks again", || desk.tasks(run)[1].state == State::Succeeded);
        thread::sleep(Duration::from_millis(120));
    }
    desk.submit(TaskDraft::new("stranger"));
    until("the other is said", || said.lock().unwrap().len() > 1);
    assert_eq!(*said.lock().unwrap(), [words("strange"), words("stranger")]);
}

#[test]
fn panicking_warning_listener_ends_engine() {
    let desk = Desk::new();
    let engine =
        desk.engine().wait_for_external_work().on_warning(|_| panic!("the listener")).build().unwrap();
    let run = desk.submit(TaskDraft::new("strange"));
    let error = crate::desk::try_to_settle(&engine, run).unwrap_err();
    assert_eq!(error.to_string(), "the engine panicked");
    assert_eq!(engine.run_forever().unwrap_err().to_string(), "the engine panicked");
}
