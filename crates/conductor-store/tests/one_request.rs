//! What one request decides first holds for the rest of it.
#![cfg(feature = "sqlite")]

#[path = "support/mod.rs"]
mod support;

use conductor_conformance::{assert_replays, assert_verified};
use conductor_store::{
    AttemptFailure, AttemptResult, Claim, ClaimedTask, EngineRegistration, EventFilter, KindQuota, Policy,
    Query, RegisterEngine, Report, ReportBatch, ReportOutcome, ReportRejection, RunDraft, RunId, Settle,
    State, Store, TaskDraft, TaskId,
};
use serde_json::json;
use support::TestStore;

/// A run with a parent that cancels its children `P#1`, `P#2`, … at the first failure.
fn fail_fast_family(children: u32) -> (TestStore, RunId) {
    let test = TestStore::new();
    let parent = TaskDraft::new("P").kind("A").max_retries(0).policy(Policy::FailFast);
    let run = test.submit(&RunDraft::new().task(parent.input(json!({ "fanout": children }))));
    test.fan_out_all(100);
    (test, run)
}

fn child(test: &TestStore, run: RunId, index: u32) -> TaskId {
    test.id_of(run, &format!("P#{index}"))
}

fn claim(test: &TestStore, engine: &EngineRegistration) -> Vec<ClaimedTask> {
    let quota = KindQuota::new("A".parse().unwrap(), 100);
    test.store.claim(&Claim::new(engine.key(), vec![quota], 30_000, &test.env)).unwrap().tasks()
}

/// Fails the first tasks and lets the others succeed; returns the names of the events.
fn settle(test: &TestStore, claimed: &[ClaimedTask], failures: usize) -> Vec<&'static str> {
    let seen = event_names(test).len();
    let result = |nth| {
        if nth < failures {
            AttemptResult::Failed(AttemptFailure::error("no"))
        } else {
            AttemptResult::Succeeded { output: None }
        }
    };
    let results = claimed.iter().enumerate().map(|(nth, task)| (task.fence, result(nth))).collect();
    let _ = test.store.settle(&Settle::new(results, &test.env)).unwrap();
    event_names(test).split_off(seen)
}

fn event_names(test: &TestStore) -> Vec<&'static str> {
    let events = test.store.events(EventFilter::default(), 0, 1000).unwrap().items;
    events.iter().map(|event| event.body.name()).collect()
}

/// Reports these starts, then a failure, then one more start, and checks that the last one is rejected.
fn assert_start_behind_failure_is_rejected(starts_before: &[u32]) {
    let (test, run) = fail_fast_family(4);
    let last = child(&test, run, 4);
    let mut reports: Vec<_> =
        starts_before.iter().map(|index| Report::started(child(&test, run, *index))).collect();
    reports.push(Report::failed_permanently(child(&test, run, 3), "it broke"));
    let mut expected = vec![ReportOutcome::Applied; reports.len()];
    reports.push(Report::started(last));
    expected.push(ReportOutcome::Rejected(ReportRejection::CancelInProgress(last)));
    assert_eq!(test.store.report(&ReportBatch::new(reports, &test.env)).unwrap(), expected);
    assert_eq!(test.task(last).state, State::Pending);
    assert_replays(&test.store);
}

#[test]
fn failure_rejects_next_start_in_same_batch() {
    assert_start_behind_failure_is_rejected(&[]);
}

/// The request has read the ancestors before they were cancelled.
#[test]
fn failure_rejects_start_behind_accepted_one() {
    assert_start_behind_failure_is_rejected(&[1, 2]);
}

#[test]
fn failure_in_claim_starts_no_siblings() {
    let (test, run) = fail_fast_family(3);
    let engine = test.store.register_engine(&RegisterEngine::new(&test.env)).unwrap();
    // Only the first child has the largest attempt.
    let change = "UPDATE conductor_ranges SET first = 1 WHERE state = 0;
         INSERT INTO conductor_ranges (block, first, last, state, attempt, retry_count, since, run, parent, kind, priority)
         SELECT block, 0, 0, 0, 2000000000, 0, since, run, parent, kind, priority FROM conductor_ranges";
    test.execute(change).unwrap();
    assert_eq!(claim(&test, &engine), []);
    let states = [1, 2, 3].map(|index| test.task(child(&test, run, index)).state);
    assert_eq!(states, [State::Failed, State::Cancelled, State::Cancelled]);
}

#[test]
fn failure_cancels_siblings_that_succeed_with_it() {
    let (test, _) = fail_fast_family(2);
    let engine = test.store.register_engine(&RegisterEngine::new(&test.env)).unwrap();
    let names = settle(&test, &claim(&test, &engine), 1);
    assert_eq!(names, ["task.failed", "task.cancel_requested", "task.succeeded"]);
    assert_replays(&test.store);
    assert_verified(&test.store);
}

#[test]
fn equal_failures_keep_order_of_events() {
    let (test, _) = fail_fast_family(3);
    let engine = test.store.register_engine(&RegisterEngine::new(&test.env)).unwrap();
    let names = settle(&test, &claim(&test, &engine), 3);
    assert_eq!(names, ["task.failed", "task.cancel_requested", "task.failed", "task.failed"]);
    assert_replays(&test.store);
    assert_verified(&test.store);
}

#[test]
fn stale_fence_beside_valid_one_settles_nothing() {
    let (test, run) = fail_fast_family(2);
    let engine = test.store.register_engine(&RegisterEngine::new(&test.env)).unwrap();
    let mut claimed = claim(&test, &engine);
    claimed[0].fence.attempt += 1;
    assert_eq!(settle(&test, &claimed, 0), ["task.succeeded"]);
    let states = [1, 2].map(|index| test.task(child(&test, run, index)).state);
    assert_eq!(states, [State::Running, State::Succeeded]);
    assert_replays(&test.store);
}

/// One aggregate decides both parents: the first fails and cancels the run, so that the second has nothing to join.
#[test]
fn failed_parent_prevents_joins_beside_it() {
    let test = TestStore::new();
    let parent = |name: &str| TaskDraft::new(name).max_retries(0).input(json!({ "fanout": 1 }));
    let run = RunDraft::new().policy(Policy::FailFast);
    let run = test.submit(&run.task(parent("P")).task(parent("Q").join("J")));
    test.fan_out_all(100);
    let [failed, succeeded] = ["P#1", "Q#1"].map(|name| test.id_of(run, name));
    test.report([Report::started(failed), Report::started(succeeded)]);
    test.report([Report::failed_permanently(failed, "it broke"), Report::succeeded(succeeded)]);
    test.aggregate_all();
    assert_eq!(test.run(run).state, State::Failed);
    assert_eq!(test.task_named(run, "Q").state, State::Cancelled);
    assert_replays(&test.store);
    assert_verified(&test.store);
}
