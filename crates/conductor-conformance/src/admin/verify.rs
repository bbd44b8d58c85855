//! A store computes everything again from its events, and finds itself in order.

use crate::World;
use conductor_model::{RunDraft, TaskDraft};
use conductor_store::{Repair, RepairReport, StoreError, Verify, VerifyReport};
use serde_json::json;

pub fn empty_store_has_no_divergences(world: &World<'_>) {
    assert_eq!(world.store().verify(&Verify::all()).expect("a verification"), VerifyReport::default());
}

pub fn all_rows_are_counted_without_divergences(world: &World<'_>) {
    let (_, _, children) = world.family(3);
    world.start(children[0]);
    world.fail(children[1]);
    world.one(TaskDraft::new("items").fan_out(["a", "b"]).join("report").max_retries(1));
    world.one(TaskDraft::new("open").open());
    world.fan_out();
    let found = world.store().verify(&Verify::all()).expect("a verification");
    let (runs, tasks, events) = (3, 8, world.events().len() as u64);
    assert_eq!(found, VerifyReport { runs, tasks, events, ..VerifyReport::default() });
}

pub fn one_run_can_be_verified(world: &World<'_>) {
    let (run, ..) = world.family(3);
    world.leaf();
    let found = world.store().verify(&Verify::run(run)).expect("a verification");
    assert_eq!((found.runs, found.tasks, found.next), (1, 4, None));
}

pub fn unknown_run_is_rejected(world: &World<'_>) {
    let unknown = world.env().ids(1).take_run().expect("an id");
    let refused = world.store().verify(&Verify::run(unknown)).expect_err("a refusal");
    assert!(matches!(refused, StoreError::RunNotFound(run) if run == unknown), "{refused}");
    let refused = world.store().repair(&Repair::run(unknown, world.env())).expect_err("a refusal");
    assert!(matches!(refused, StoreError::RunNotFound(run) if run == unknown), "{refused}");
}

pub fn verification_continues_at_cursor(world: &World<'_>) {
    for n in 0..5 {
        world.submit(&RunDraft::new().task(TaskDraft::new(format!("T{n}"))));
    }
    let (mut calls, mut runs, mut after) = (0, 0, 0);
    loop {
        let request = Verify { limit: 1, ..Verify::all().after(after) };
        let found = world.store().verify(&request).expect("a verification");
        (calls, runs) = (calls + 1, runs + found.runs);
        assert!(found.runs <= 1);
        let Some(next) = found.next else { break };
        after = next;
    }
    assert_eq!((calls, runs), (6, 5), "the last call finds that there is no further run");
}

pub fn verification_writes_nothing(world: &World<'_>) {
    world.family(3);
    let change_token = world.store().change_token().expect("a pulse");
    let found = world.writes_nothing(|| world.store().verify(&Verify::all()).expect("a verification"));
    assert_eq!(found.runs, 1);
    assert_eq!(world.store().change_token().expect("a pulse"), change_token);
}

pub fn repair_of_intact_store_writes_nothing(world: &World<'_>) {
    world.one(TaskDraft::new("P").input(json!({"fanout": 3})));
    world.fan_out();
    let change_token = world.store().change_token().expect("a pulse");
    let done = world.writes_nothing(|| world.store().repair(&Repair::all(world.env())).expect("a repair"));
    assert_eq!(done, RepairReport { runs: 1, ..RepairReport::default() });
    assert_eq!(world.store().change_token().expect("a pulse"), change_token);
}
