//! Settle: each ending is written once, by the claim that holds.

use crate::World;
use crate::harness::json_of;
use crate::harness::test_engine::{failure, success, success_with, want};
use conductor_model::{
    AttemptFailure, Backoff, EventBody, FailureReason, Json, MAX_TASKS, State, TaskDraft, TaskId,
};
use conductor_store::{AttemptResult, Fence, FenceOutcome, Settle, StoreError};
use serde_json::json;

fn fatal(error: &str) -> AttemptResult {
    AttemptResult::Failed(AttemptFailure::fatal(error))
}

fn asking(retry_after_ms: u64) -> AttemptResult {
    let retry_after_ms = Some(retry_after_ms);
    AttemptResult::Failed(AttemptFailure::Error { error: "busy".into(), retryable: true, retry_after_ms })
}

pub fn success_stores_output(world: &World<'_>) {
    let hands = world.hands();
    let (_, roots) = world.run_of((0..3).map(|_| TaskDraft::new("A")));
    let claimed = hands.claim("A", 10);
    let endings = [success_with(json_of(r#"{"words": 7}"#)), success(), success_with(json_of("null"))];
    world.pass_ms(10);
    let answers = hands.settle(claimed.iter().map(|task| task.fence).zip(endings));
    assert_eq!(answers, [FenceOutcome::Applied; 3]);
    for (task, output) in roots.iter().zip([Some(r#"{"words": 7}"#), None, Some("null")]) {
        let row = world.task(*task);
        assert_eq!((row.state, row.lease_until, row.due_at), (State::Succeeded, None, None));
        assert_eq!((row.attempt, row.updated_at), (1, world.now()));
        assert_eq!(row.output.as_ref().map(Json::as_str), output);
    }
}

pub fn failure_is_retried_after_its_delay(world: &World<'_>) {
    let hands = world.hands();
    let backoff = Backoff::fixed(5000).expect("a backoff");
    let (_, roots) = world.run_of((0..3).map(|_| TaskDraft::new("A").backoff(backoff)));
    let claimed = hands.claim("A", 10);
    let endings = [failure("it broke"), asking(90_000), fatal("it is broken")];
    assert_eq!(hands.settle(claimed.iter().map(|task| task.fence).zip(endings)), [FenceOutcome::Applied; 3]);
    let due: Vec<_> = roots.iter().map(|task| world.task(*task).due_at).collect();
    let at = |ms| Some(world.now().plus_millis(ms));
    assert_eq!(due, [at(5000), at(90_000), None]);
    for (task, error) in roots.iter().zip(["it broke", "busy", "it is broken"]) {
        let row = world.task(*task);
        assert_eq!((row.state, row.retry_count, row.lease_until), (State::Failed, 0, None));
        assert_eq!(row.last_error.expect("an error").as_str(), error);
    }
}

pub fn failure_event_has_reason_and_retry_time(world: &World<'_>) {
    let hands = world.hands();
    let (_, roots) = world.run_of([1, 0, 1, 1, 0].map(|retries| TaskDraft::new("A").max_retries(retries)));
    let claimed = hands.claim("A", 10);
    let seen = world.events().len();
    let timed_out = || AttemptResult::Failed(AttemptFailure::TimedOut);
    let endings = [failure("it broke"), failure("it broke"), fatal("it is broken"), timed_out(), timed_out()];
    assert_eq!(hands.settle(claimed.iter().map(|task| task.fence).zip(endings)), [FenceOutcome::Applied; 5]);
    let now = Some(world.now());
    let expected = [
        (FailureReason::Error, "it broke", now),
        (FailureReason::RetriesExhausted, "it broke", None),
        (FailureReason::NotRetryable, "it is broken", None),
        (FailureReason::TimedOut, "timed out", now),
        (FailureReason::TimedOut, "timed out", None),
    ];
    let events = world.events().split_off(seen);
    for (task, (reason, error, due_at)) in roots.iter().zip(expected) {
        let event = events.iter().find(|event| event.task == Some(*task)).expect("an event");
        assert_eq!(event.body, EventBody::TaskFailed { reason, error: error.into(), due_at });
        assert_eq!(world.task(*task).last_error.expect("an error").as_str(), error);
    }
}

pub fn stale_fence_does_not_affect_others(world: &World<'_>) {
    let hands = world.hands();
    let (_, roots) = world.run_of((0..6).map(|_| TaskDraft::new("A")));
    let claimed = hands.claim("A", 10);
    assert_eq!(hands.release(&[claimed[2].fence]), [FenceOutcome::Applied]);
    let endings = [
        success(),
        success_with(json_of("1")),
        success(),
        failure("it broke"),
        fatal("it is broken"),
        success(),
    ];
    let mut endings: Vec<_> = claimed.iter().map(|task| task.fence).zip(endings).collect();
    endings[5].0.attempt = 0;
    let answers = hands.settle(endings);
    let (applied, stale) = (FenceOutcome::Applied, FenceOutcome::Stale);
    assert_eq!(answers, [applied, applied, stale, applied, applied, stale]);
    let states: Vec<_> = roots.iter().map(|task| world.state(*task)).collect();
    let (done, failed) = (State::Succeeded, State::Failed);
    assert_eq!(states, [done, done, State::Pending, failed, failed, State::Running]);
}

pub fn duplicate_fence_applies_once(world: &World<'_>) {
    let hands = world.hands();
    let (_, roots) = world.run_of((0..3).map(|_| TaskDraft::new("A")));
    let fence: Vec<Fence> = hands.claim("A", 10).iter().map(|task| task.fence).collect();
    let answers = hands.settle([
        (fence[0], success()),
        (fence[0], failure("it broke")),
        (fence[1], failure("it broke")),
        (fence[1], success_with(json_of("1"))),
        (fence[2], success_with(json_of("2"))),
        (fence[2], success_with(json_of("3"))),
    ]);
    let (applied, stale) = (FenceOutcome::Applied, FenceOutcome::Stale);
    assert_eq!(answers, [applied, stale, applied, stale, applied, stale]);
    let states: Vec<_> = roots.iter().map(|task| world.state(*task)).collect();
    assert_eq!(states, [State::Succeeded, State::Failed, State::Succeeded]);
    assert_eq!(world.task(roots[2]).output, Some(json_of("2")));
}

pub fn claim_is_settled_once(world: &World<'_>) {
    let hands = world.hands();
    for ending in [success(), success_with(json_of("1")), failure("it broke"), fatal("it is broken")] {
        world.leaf();
        let claimed = hands.claim_one();
        hands.end(&claimed, ending);
        hands.assert_stale(claimed.fence);
    }
}

pub fn fence_of_older_claim_is_stale(world: &World<'_>) {
    let (one, other) = (world.hands(), world.hands());
    let (_, task) = world.leaf();
    let mut old = Vec::new();
    let claimed = one.claim_one();
    old.push(claimed.fence);
    one.end(&claimed, failure("it broke"));
    one.assert_stale(claimed.fence);
    assert_eq!(world.retry(), 1);
    one.assert_stale(claimed.fence);
    let claimed = one.claim_one();
    old.push(claimed.fence);
    assert_eq!(one.release(&[claimed.fence]), [FenceOutcome::Applied]);
    let claimed = one.claim_one();
    old.push(claimed.fence);
    world.pass_ms(60_000);
    assert_eq!((world.rescue(), world.retry()), (1, 1));
    let last = other.claim_one();
    assert_eq!(last.fence.attempt, 4);
    for fence in &old {
        one.assert_stale(*fence);
    }
    other.end(&last, success());
    for fence in &old {
        one.assert_stale(*fence);
    }
    assert_eq!((world.state(task), world.task(task).output), (State::Succeeded, None));
}

pub fn fence_of_other_or_unknown_task_is_stale(world: &World<'_>) {
    let hands = world.hands();
    world.run_of((0..2).map(|_| TaskDraft::new("A")));
    let claimed = hands.claim("A", 10);
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
        hands.assert_stale(wrong);
    }
    hands.end(&claimed[0], success());
}

pub fn fence_of_externally_started_task_is_stale(world: &World<'_>) {
    let hands = world.hands();
    let (_, task) = world.leaf();
    let claimed = hands.claim_one();
    assert_eq!(hands.release(&[claimed.fence]), [FenceOutcome::Applied]);
    world.start(task);
    hands.assert_stale(claimed.fence);
    hands.assert_stale(Fence { attempt: 2, ..claimed.fence });
    world.succeed(task);
    hands.assert_stale(Fence { attempt: 2, ..claimed.fence });
}

pub fn result_after_lease_counts_before_rescue(world: &World<'_>) {
    let hands = world.hands();
    let (_, task) = world.leaf();
    let claimed = hands.claim_one();
    world.pass_ms(60_000);
    hands.end(&claimed, success());
    assert_eq!(world.state(task), State::Succeeded);
    assert_eq!(world.writes_nothing(|| world.rescue()), 0);
}

pub fn settlement_carries_next_claim(world: &World<'_>) {
    let hands = world.hands();
    let (_, roots) = world.run_of((0..4).map(|_| TaskDraft::new("A")));
    let claimed = hands.claim("A", 2);
    let endings = [(claimed[0].fence, success()), (claimed[1].fence, failure("it broke"))];
    let claim = Some(hands.request([want("A", 10)], 10));
    let settled = hands.settle_with(&Settle { claim, ..hands.settlement(endings) });
    assert_eq!(settled.results, [FenceOutcome::Applied; 2]);
    let next: Vec<_> = settled.claimed.tasks.iter().map(|task| task.fence.task).collect();
    assert_eq!((next, settled.claimed.more), (roots[2..].to_vec(), false));
    assert_eq!(settled.claimed.cursors.len(), 1);
    // What the settlement made due is ready after the next retry, and claimed with the next settlement.
    assert_eq!(world.retry(), 1);
    let claim = Some(hands.request([want("A", 10)], 10));
    let last = settled.claimed.tasks[0].fence;
    let settled = hands.settle_with(&Settle { claim, ..hands.settlement([(last, success())]) });
    let again = &settled.claimed.tasks[0].fence;
    assert_eq!((settled.claimed.tasks.len(), again.task, again.attempt), (1, roots[1], 2));
}

pub fn settlement_of_stale_fences_still_claims(world: &World<'_>) {
    let hands = world.hands();
    world.leaf();
    let stale = hands.claim_one();
    hands.end(&stale, success());
    let (_, task) = world.leaf();
    let claim = Some(hands.request([want("A", 10)], 10));
    let settled = hands.settle_with(&Settle { claim, ..hands.settlement([(stale.fence, success())]) });
    assert_eq!(settled.results, [FenceOutcome::Stale]);
    assert_eq!(settled.claimed.tasks[0].fence.task, task);
}

pub fn empty_settlement_and_claim_write_nothing(world: &World<'_>) {
    let hands = world.hands();
    world.one(TaskDraft::new("B"));
    let change_token = world.store().change_token().expect("a pulse");
    for claim in [None, Some(hands.request([want("A", 10)], 10))] {
        let request = Settle { claim, ..hands.settlement([]) };
        let settled = world.writes_nothing(|| hands.settle_with(&request));
        assert!(settled.results.is_empty() && settled.claimed.tasks.is_empty());
    }
    assert_eq!(world.store().change_token().expect("a pulse"), change_token);
    let claim = Some(hands.request([want("B", 10)], 10));
    let settled = hands.settle_with(&Settle { claim, ..hands.settlement([]) });
    assert_eq!(settled.claimed.tasks.len(), 1, "nothing to settle, and something to claim");
}

pub fn settlement_decides_parents_and_runs(world: &World<'_>) {
    let hands = world.hands();
    let nested = TaskDraft::new("P").kind("A").input(json!({"fanout": [{"fanout": 2}, 0, {"fanout": 3}]}));
    let (run, parent) = world.one(nested);
    world.fan_out();
    let claimed = hands.claim("A", 100);
    assert_eq!((claimed.len(), world.run(run).state_counts.running), (6, 9));
    let ending = |index: u32| if index == 3 { fatal("it is broken") } else { success_with(json_of("1")) };
    let endings: Vec<_> = claimed.iter().map(|task| (task.fence, ending(task.index))).collect();
    assert_eq!(hands.settle(endings), [FenceOutcome::Applied; 6]);
    assert_eq!(world.aggregate(), (3, 1));
    assert_eq!((world.state(parent), world.run_state(run)), (State::Failed, State::Failed));
    let tally = world.run(run).state_counts;
    assert_eq!((tally.succeeded, tally.failed), (6, 3));
}

pub fn many_parents_and_runs_settle_at_once(world: &World<'_>) {
    let hands = world.hands();
    for _ in 0..3 {
        world.family(400);
        world.run_of((0..5).map(|_| TaskDraft::new("P")));
    }
    let claimed = hands.claim("P", 10_000);
    assert_eq!(claimed.len(), 1215);
    // In an order that keeps no siblings together.
    let mut endings: Vec<_> = claimed.iter().map(|task| (task.fence, success())).collect();
    endings.sort_by_key(|(fence, _)| fence.key % 7);
    assert!(hands.settle(endings).iter().all(|answer| *answer == FenceOutcome::Applied));
    assert_eq!(world.aggregate(), (3, 6));
}

pub fn oversized_batch_is_rejected(world: &World<'_>) {
    let hands = world.hands();
    world.leaf();
    let fence = hands.claim_one().fence;
    let request = hands.settlement(std::iter::repeat_n((fence, success()), MAX_TASKS + 1));
    let refused = world.writes_nothing(|| world.store().settle(&request));
    assert!(matches!(refused, Err(StoreError::BatchTooLarge { max: MAX_TASKS, .. })), "{refused:?}");
}
