//! Verify: a store replays its events, and its rows agree with them.

use crate::Harness;
use conductor_model::{RunDraft, TaskDraft};
use conductor_store::{Repair, RepairReport, StoreError, Verify, VerifyReport};
use serde_json::json;

pub fn empty_store_has_no_divergences(harness: &Harness<'_>) {
    assert_eq!(harness.store().verify(&Verify::all()).expect("verify succeeds"), VerifyReport::default());
}

pub fn all_rows_are_counted_without_divergences(harness: &Harness<'_>) {
    let (_, _, children) = harness.family(3);
    harness.start(children[0]);
    harness.fail(children[1]);
    harness.submit_task(TaskDraft::new("items").fan_out(["a", "b"]).join("report").max_retries(1));
    harness.submit_task(TaskDraft::new("open").open());
    harness.fan_out();
    let found = harness.store().verify(&Verify::all()).expect("verify succeeds");
    let (runs, tasks, events) = (3, 8, harness.events().len() as u64);
    assert_eq!(found, VerifyReport { runs, tasks, events, ..VerifyReport::default() });
}

pub fn one_run_can_be_verified(harness: &Harness<'_>) {
    let (run, ..) = harness.family(3);
    harness.submit_leaf();
    let found = harness.store().verify(&Verify::run(run)).expect("verify succeeds");
    assert_eq!((found.runs, found.tasks, found.next), (1, 4, None));
}

pub fn unknown_run_is_rejected(harness: &Harness<'_>) {
    let unknown = harness.env().ids(1).take_run().expect("id is left");
    let rejected = harness.store().verify(&Verify::run(unknown)).expect_err("request is rejected");
    assert!(matches!(rejected, StoreError::RunNotFound(run) if run == unknown), "{rejected}");
    let rejected =
        harness.store().repair(&Repair::run(unknown, harness.env())).expect_err("request is rejected");
    assert!(matches!(rejected, StoreError::RunNotFound(run) if run == unknown), "{rejected}");
}

pub fn verification_continues_at_cursor(harness: &Harness<'_>) {
    for n in 0..5 {
        harness.submit(&RunDraft::new().task(TaskDraft::new(format!("T{n}"))));
    }
    let (mut calls, mut runs, mut after) = (0, 0, 0);
    loop {
        let request = Verify { limit: 1, ..Verify::all().after(after) };
        let found = harness.store().verify(&request).expect("verify succeeds");
        (calls, runs) = (calls + 1, runs + found.runs);
        assert!(found.runs <= 1);
        let Some(next) = found.next else { break };
        after = next;
    }
    assert_eq!((calls, runs), (6, 5), "the last call finds no further run");
}

pub fn verification_writes_nothing(harness: &Harness<'_>) {
    harness.family(3);
    let change_token = harness.change_token();
    let found = harness.writes_nothing(|| harness.store().verify(&Verify::all()).expect("verify succeeds"));
    assert_eq!(found.runs, 1);
    assert_eq!(harness.change_token(), change_token);
}

pub fn repair_of_intact_store_writes_nothing(harness: &Harness<'_>) {
    harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 3})));
    harness.fan_out();
    let change_token = harness.change_token();
    let done = harness
        .writes_nothing(|| harness.store().repair(&Repair::all(harness.env())).expect("repair succeeds"));
    assert_eq!(done, RepairReport { runs: 1, ..RepairReport::default() });
    assert_eq!(harness.change_token(), change_token);
}
