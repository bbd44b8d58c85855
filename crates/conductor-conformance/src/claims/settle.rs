//! Settle: the result of an attempt is written once, by the engine whose fence is valid.

use crate::Harness;
use crate::harness::json_of;
use crate::harness::test_engine::{failure, quota, success, success_with};
use conductor_model::{
    AttemptFailure, Backoff, EventBody, FailureReason, Json, MAX_TASKS, State, TaskDraft, TaskId,
};
use conductor_store::{AttemptResult, Fence, FenceOutcome, FenceSet, OffsetSet, Settle, StoreError};
use serde_json::json;

fn fatal(error: &str) -> AttemptResult {
    AttemptResult::Failed(AttemptFailure::fatal(error))
}

fn failure_with_delay(retry_after_ms: u64) -> AttemptResult {
    let retry_after_ms = Some(retry_after_ms);
    AttemptResult::Failed(AttemptFailure::Error { error: "busy".into(), retryable: true, retry_after_ms })
}

pub fn success_stores_output(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, roots) = harness.submit_tasks((0..3).map(|_| TaskDraft::new("A")));
    let claimed = engine.claim("A", 10);
    let results = [success_with(json_of(r#"{"words": 7}"#)), success(), success_with(json_of("null"))];
    harness.advance_ms(10);
    let answers = engine.settle(claimed.iter().map(|task| task.fence).zip(results));
    assert_eq!(answers, [FenceOutcome::Applied; 3]);
    for (task, output) in roots.iter().zip([Some(r#"{"words": 7}"#), None, Some("null")]) {
        let row = harness.task(*task);
        assert_eq!((row.state, row.lease_until, row.due_at), (State::Succeeded, None, None));
        assert_eq!((row.attempt, row.updated_at), (1, harness.now()));
        assert_eq!(row.output.as_ref().map(Json::as_str), output);
    }
}

pub fn failure_is_retried_after_its_delay(harness: &Harness<'_>) {
    let engine = harness.engine();
    let backoff = Backoff::fixed(5000).expect("backoff is valid");
    let (_, roots) = harness.submit_tasks((0..3).map(|_| TaskDraft::new("A").backoff(backoff)));
    let claimed = engine.claim("A", 10);
    let results = [failure("it broke"), failure_with_delay(90_000), fatal("it is broken")];
    assert_eq!(engine.settle(claimed.iter().map(|task| task.fence).zip(results)), [FenceOutcome::Applied; 3]);
    let due: Vec<_> = roots.iter().map(|task| harness.task(*task).due_at).collect();
    let at = |ms| Some(harness.now().plus_millis(ms));
    assert_eq!(due, [at(5000), at(90_000), None]);
    for (task, error) in roots.iter().zip(["it broke", "busy", "it is broken"]) {
        let row = harness.task(*task);
        assert_eq!((row.state, row.retry_count, row.lease_until), (State::Failed, 0, None));
        assert_eq!(row.last_error.expect("error is stored").as_str(), error);
    }
}

pub fn failure_event_has_reason_and_retry_time(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, roots) =
        harness.submit_tasks([1, 0, 1, 1, 0].map(|retries| TaskDraft::new("A").max_retries(retries)));
    let claimed = engine.claim("A", 10);
    let seen = harness.events().len();
    let timed_out = || AttemptResult::Failed(AttemptFailure::TimedOut);
    let results = [failure("it broke"), failure("it broke"), fatal("it is broken"), timed_out(), timed_out()];
    assert_eq!(engine.settle(claimed.iter().map(|task| task.fence).zip(results)), [FenceOutcome::Applied; 5]);
    let now = Some(harness.now());
    let expected = [
        (FailureReason::Error, "it broke", now),
        (FailureReason::RetriesExhausted, "it broke", None),
        (FailureReason::NotRetryable, "it is broken", None),
        (FailureReason::TimedOut, "timed out", now),
        (FailureReason::TimedOut, "timed out", None),
    ];
    let events = harness.events().split_off(seen);
    for (task, (reason, error, due_at)) in roots.iter().zip(expected) {
        let event = events.iter().find(|event| event.task == Some(*task)).expect("event exists");
        assert_eq!(event.body, EventBody::TaskFailed { reason, error: error.into(), due_at });
        assert_eq!(harness.task(*task).last_error.expect("error is stored").as_str(), error);
    }
}

pub fn successes_in_sets_are_settled_where_fences_hold(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_tasks([TaskDraft::new("P").fan_out(0..5)]);
    harness.fan_out();
    let claimed = engine.claim_with(&engine.claim_request([quota("P", 10)], 10));
    let ids: Vec<TaskId> = claimed.tasks().iter().map(|task| task.fence.task).collect();
    let fences: Vec<FenceSet> = claimed.groups.iter().map(|group| group.fences).collect();
    let [released, failed] = [1, 3].map(|nth| claimed.tasks()[nth].fence);
    assert_eq!(engine.release(&[released]), [FenceOutcome::Applied]);
    let request = Settle { succeeded: fences.clone(), ..engine.settle_request([(failed, fatal("no"))]) };
    let settled = engine.settle_with(&request);
    assert_eq!(settled.results, [FenceOutcome::Applied]);
    let applied = fences.iter().zip(&settled.succeeded);
    let applied = applied.flat_map(|(set, offsets)| FenceSet { offsets: *offsets, ..*set }.iter());
    assert_eq!(applied.map(|fence| fence.task).collect::<Vec<_>>(), [ids[0], ids[2], ids[4]]);
    let states = ids.iter().map(|task| harness.task(*task).state).collect::<Vec<_>>();
    let (ended, pending) = (State::Succeeded, State::Pending);
    assert_eq!(states, [ended, pending, ended, State::Failed, ended]);
    // The next attempt has other fences, and so has a task of another store with the same key.
    assert_eq!(engine.claim("P", 10).len(), 1);
    let of_other_store =
        fences.iter().map(|set| FenceSet { base_id: set.base_id ^ 1 << 70, attempt: 2, ..*set });
    let stale: Vec<FenceSet> = fences.iter().copied().chain(of_other_store).collect();
    harness.writes_nothing(|| {
        let settled = engine.settle_with(&Settle { succeeded: stale.clone(), ..engine.settle_request([]) });
        assert!(settled.succeeded.iter().all(OffsetSet::is_empty), "{settled:?}");
        assert_eq!(settled.succeeded.len(), stale.len());
    });
}

pub fn stale_fence_does_not_affect_others(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, roots) = harness.submit_tasks((0..6).map(|_| TaskDraft::new("A")));
    let claimed = engine.claim("A", 10);
    assert_eq!(engine.release(&[claimed[2].fence]), [FenceOutcome::Applied]);
    let results = [
        success(),
        success_with(json_of("1")),
        success(),
        failure("it broke"),
        fatal("it is broken"),
        success(),
    ];
    let mut results: Vec<_> = claimed.iter().map(|task| task.fence).zip(results).collect();
    results[5].0.attempt = 0;
    let answers = engine.settle(results);
    let (applied, stale) = (FenceOutcome::Applied, FenceOutcome::Stale);
    assert_eq!(answers, [applied, applied, stale, applied, applied, stale]);
    let states: Vec<_> = roots.iter().map(|task| harness.state(*task)).collect();
    let (done, failed) = (State::Succeeded, State::Failed);
    assert_eq!(states, [done, done, State::Pending, failed, failed, State::Running]);
}

pub fn duplicate_fence_applies_once(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, roots) = harness.submit_tasks((0..3).map(|_| TaskDraft::new("A")));
    let fence: Vec<Fence> = engine.claim("A", 10).iter().map(|task| task.fence).collect();
    let answers = engine.settle([
        (fence[0], success()),
        (fence[0], failure("it broke")),
        (fence[1], failure("it broke")),
        (fence[1], success_with(json_of("1"))),
        (fence[2], success_with(json_of("2"))),
        (fence[2], success_with(json_of("3"))),
    ]);
    let (applied, stale) = (FenceOutcome::Applied, FenceOutcome::Stale);
    assert_eq!(answers, [applied, stale, applied, stale, applied, stale]);
    let states: Vec<_> = roots.iter().map(|task| harness.state(*task)).collect();
    assert_eq!(states, [State::Succeeded, State::Failed, State::Succeeded]);
    assert_eq!(harness.task(roots[2]).output, Some(json_of("2")));
}

pub fn claim_is_settled_once(harness: &Harness<'_>) {
    let engine = harness.engine();
    for result in [success(), success_with(json_of("1")), failure("it broke"), fatal("it is broken")] {
        harness.submit_leaf();
        let claimed = engine.claim_one();
        engine.settle_one(&claimed, result);
        engine.assert_stale(claimed.fence);
    }
}

pub fn fence_of_older_claim_is_stale(harness: &Harness<'_>) {
    let (one, other) = (harness.engine(), harness.engine());
    let (_, task) = harness.submit_leaf();
    let mut old = Vec::new();
    let claimed = one.claim_one();
    old.push(claimed.fence);
    one.settle_one(&claimed, failure("it broke"));
    one.assert_stale(claimed.fence);
    assert_eq!(harness.retry(), 1);
    one.assert_stale(claimed.fence);
    let claimed = one.claim_one();
    old.push(claimed.fence);
    assert_eq!(one.release(&[claimed.fence]), [FenceOutcome::Applied]);
    let claimed = one.claim_one();
    old.push(claimed.fence);
    harness.advance_ms(60_000);
    assert_eq!((harness.rescue(), harness.retry()), (1, 1));
    let last = other.claim_one();
    assert_eq!(last.fence.attempt, 4);
    for fence in &old {
        one.assert_stale(*fence);
    }
    other.settle_one(&last, success());
    for fence in &old {
        one.assert_stale(*fence);
    }
    assert_eq!((harness.state(task), harness.task(task).output), (State::Succeeded, None));
}

pub fn fence_of_other_or_unknown_task_is_stale(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_tasks((0..2).map(|_| TaskDraft::new("A")));
    let claimed = engine.claim("A", 10);
    let fence = claimed[0].fence;
    for wrong in [
        Fence { task: TaskId::from_u128(1), ..fence },
        Fence { task: claimed[1].fence.task, ..fence },
        Fence { key: claimed[1].fence.key, ..fence },
        Fence { key: 0, ..fence },
        Fence { key: u64::MAX, ..fence },
        Fence { attempt: 0, ..fence },
        Fence { attempt: 2, ..fence },
        Fence { attempt: u32::MAX, ..fence },
    ] {
        engine.assert_stale(wrong);
    }
    engine.settle_one(&claimed[0], success());
}

pub fn fence_of_externally_started_task_is_stale(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, task) = harness.submit_leaf();
    let claimed = engine.claim_one();
    assert_eq!(engine.release(&[claimed.fence]), [FenceOutcome::Applied]);
    harness.start(task);
    engine.assert_stale(claimed.fence);
    engine.assert_stale(Fence { attempt: 2, ..claimed.fence });
    harness.succeed(task);
    engine.assert_stale(Fence { attempt: 2, ..claimed.fence });
}

pub fn result_after_lease_counts_before_rescue(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, task) = harness.submit_leaf();
    let claimed = engine.claim_one();
    harness.advance_ms(60_000);
    engine.settle_one(&claimed, success());
    assert_eq!(harness.state(task), State::Succeeded);
    assert_eq!(harness.writes_nothing(|| harness.rescue()), 0);
}

pub fn settlement_carries_next_claim(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, roots) = harness.submit_tasks((0..4).map(|_| TaskDraft::new("A")));
    let claimed = engine.claim("A", 2);
    let results = [(claimed[0].fence, success()), (claimed[1].fence, failure("it broke"))];
    let claim = Some(engine.claim_request([quota("A", 10)], 10));
    let settled = engine.settle_with(&Settle { claim, ..engine.settle_request(results) });
    assert_eq!(settled.results, [FenceOutcome::Applied; 2]);
    let next: Vec<_> = settled.claimed.tasks().iter().map(|task| task.fence.task).collect();
    assert_eq!((next, settled.claimed.more), (roots[2..].to_vec(), false));
    assert_eq!(settled.claimed.cursors.len(), 1);
    // The failed task is ready after the next retry, and is claimed with the next settlement.
    assert_eq!(harness.retry(), 1);
    let claim = Some(engine.claim_request([quota("A", 10)], 10));
    let last = settled.claimed.tasks()[0].fence;
    let settled = engine.settle_with(&Settle { claim, ..engine.settle_request([(last, success())]) });
    let again = &settled.claimed.tasks()[0].fence;
    assert_eq!((settled.claimed.tasks().len(), again.task, again.attempt), (1, roots[1], 2));
}

pub fn settlement_of_stale_fences_still_claims(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_leaf();
    let stale = engine.claim_one();
    engine.settle_one(&stale, success());
    let (_, task) = harness.submit_leaf();
    let claim = Some(engine.claim_request([quota("A", 10)], 10));
    let settled = engine.settle_with(&Settle { claim, ..engine.settle_request([(stale.fence, success())]) });
    assert_eq!(settled.results, [FenceOutcome::Stale]);
    assert_eq!(settled.claimed.tasks()[0].fence.task, task);
}

pub fn empty_settlement_and_claim_write_nothing(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_task(TaskDraft::new("B"));
    let change_token = harness.change_token();
    for claim in [None, Some(engine.claim_request([quota("A", 10)], 10))] {
        let request = Settle { claim, ..engine.settle_request([]) };
        let settled = harness.writes_nothing(|| engine.settle_with(&request));
        assert!(settled.results.is_empty() && settled.claimed.tasks().is_empty());
    }
    assert_eq!(harness.change_token(), change_token);
    let claim = Some(engine.claim_request([quota("B", 10)], 10));
    let settled = engine.settle_with(&Settle { claim, ..engine.settle_request([]) });
    assert_eq!(settled.claimed.tasks().len(), 1, "an empty settlement still claims");
}

pub fn settlement_decides_parents_and_runs(harness: &Harness<'_>) {
    let engine = harness.engine();
    let nested = TaskDraft::new("P").kind("A").input(json!({"fanout": [{"fanout": 2}, 0, {"fanout": 3}]}));
    let (run, parent) = harness.submit_task(nested);
    harness.fan_out();
    let claimed = engine.claim("A", 100);
    assert_eq!((claimed.len(), harness.run(run).state_counts.running), (6, 9));
    let result = |index: u32| if index == 3 { fatal("it is broken") } else { success_with(json_of("1")) };
    let results: Vec<_> = claimed.iter().map(|task| (task.fence, result(task.index))).collect();
    assert_eq!(engine.settle(results), [FenceOutcome::Applied; 6]);
    assert_eq!(harness.aggregate(), (3, 1));
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Failed, State::Failed));
    let counts = harness.run(run).state_counts;
    assert_eq!((counts.succeeded, counts.failed), (6, 3));
}

pub fn many_parents_and_runs_settle_at_once(harness: &Harness<'_>) {
    let engine = harness.engine();
    for _ in 0..3 {
        harness.family(400);
        harness.submit_tasks((0..5).map(|_| TaskDraft::new("P")));
    }
    let claimed = engine.claim("P", 10_000);
    assert_eq!(claimed.len(), 1215);
    // The order separates siblings.
    let mut results: Vec<_> = claimed.iter().map(|task| (task.fence, success())).collect();
    results.sort_by_key(|(fence, _)| fence.key % 7);
    assert!(engine.settle(results).iter().all(|answer| *answer == FenceOutcome::Applied));
    assert_eq!(harness.aggregate(), (3, 6));
}

pub fn oversized_batch_is_rejected(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_leaf();
    let fence = engine.claim_one().fence;
    let request = engine.settle_request(std::iter::repeat_n((fence, success()), MAX_TASKS + 1));
    let rejected = harness.writes_nothing(|| harness.store().settle(&request));
    assert!(matches!(rejected, Err(StoreError::BatchTooLarge { max: MAX_TASKS, .. })), "{rejected:?}");
}
