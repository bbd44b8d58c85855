//! Steps that meet damaged rows.

use crate::support::fixture::Fixture;
use conductor_model::{RunDraft, State, TaskDraft};
use conductor_store::{Scope, Store, Submit};
use conductor_workers::steps::run_steps_until_idle;
use serde_json::json;

/// The fan-out fails the parent and creates nothing; then the run can be decided.
#[test]
fn steps_decide_run_of_parent_with_damaged_input() {
    let test = Fixture::on_disk();
    let draft = RunDraft::new().task(TaskDraft::new("P").input(json!({ "fanout": 3 }))).validate().unwrap();
    let run = test.store.submit(&Submit::new(draft, &test.env)).unwrap().run;
    let connection = rusqlite::Connection::open(test.path()).unwrap();
    connection.execute_batch("UPDATE conductor_inputs SET inputs = '{'").unwrap();
    run_steps_until_idle(&*test.store, Scope::Run(run), &test.env).unwrap();
    assert_eq!(test.run(run).state, State::Failed);
}
