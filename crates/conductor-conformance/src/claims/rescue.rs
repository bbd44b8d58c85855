//! Rescue: a claim whose lease has expired, or whose engine is dead, is a failed attempt.

use crate::Harness;
use crate::harness::test_engine::{failure, quota, success};
use conductor_model::{Backoff, DEFAULT_LEASE_MS, EventBody, FailureReason, MAX_LEASE_MS, State, TaskDraft};
use conductor_store::{Claim, FenceOutcome};

/// Longer than any lease of these tests.
const LONG_MS: i64 = 60_000;

fn leaf_with_retries(retries: i64) -> TaskDraft {
    TaskDraft::new("A").max_retries(retries)
}

pub fn expired_lease_fails_attempt(harness: &Harness<'_>) {
    let engine = harness.engine();
    let backoff = Backoff::fixed(5000).expect("backoff is valid");
    let (_, task) = harness.submit_task(TaskDraft::new("A").backoff(backoff));
    let claimed = engine.claim_one();
    harness.advance_ms(29_999);
    assert_eq!(harness.writes_nothing(|| harness.rescue()), 0);
    harness.advance_ms(1);
    let seen = harness.events().len();
    assert_eq!(harness.rescue(), 1);
    let row = harness.task(task);
    let due = harness.now().plus_millis(5000);
    assert_eq!((row.state, row.due_at, row.lease_until), (State::Failed, Some(due), None));
    assert_eq!((row.attempt, row.retry_count), (1, 0));
    assert_eq!(row.last_error.expect("error is stored").as_str(), "lease expired");
    let event = harness.events().remove(seen);
    let (reason, error) = (FailureReason::LeaseExpired, "lease expired".into());
    assert_eq!(event.body, EventBody::TaskFailed { reason, error, due_at: Some(due) });
    engine.assert_stale(claimed.fence);
    assert_eq!(harness.writes_nothing(|| harness.rescue()), 0, "a claim is rescued once");
}

pub fn rescued_task_is_retried(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, task) = harness.submit_leaf();
    let lost = engine.lose_lease();
    let claimed = engine.claim_one();
    assert_eq!((claimed.fence.attempt, claimed.retry_count), (2, 1));
    engine.assert_stale(lost.fence);
    engine.settle_one(&claimed, success());
    harness.aggregate();
    assert_eq!((harness.state(task), harness.run_state(run)), (State::Succeeded, State::Succeeded));
}

pub fn task_losing_every_lease_fails(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, task) = harness.submit_task(leaf_with_retries(2));
    for attempt in 1..=3 {
        let claimed = engine.claim_with_isolated("A", 10);
        assert_eq!(claimed[0].fence.attempt, attempt);
        harness.advance_ms(LONG_MS);
        assert_eq!(harness.rescue(), 1);
        assert_eq!(harness.retry(), u32::from(attempt < 3));
    }
    let row = harness.task(task);
    assert_eq!((row.state, row.due_at, row.attempt, row.retry_count), (State::Failed, None, 3, 2));
    assert_eq!(row.last_error.expect("error is stored").as_str(), "lease expired");
    assert_eq!(harness.aggregate(), (0, 1));
    assert_eq!(harness.run_state(run), State::Failed);
}

pub fn lease_from_clock_jump_is_rescued(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, task) = harness.submit_leaf();
    let years = 10 * 365 * 24 * 60 * 60 * 1000;
    harness.advance_ms(years);
    let claimed = engine.claim_one();
    harness.advance_ms(-years);
    assert_eq!(harness.rescue(), 1);
    assert_eq!(harness.state(task), State::Failed);
    engine.assert_stale(claimed.fence);
}

pub fn small_clock_setback_keeps_lease(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_leaf();
    let _ = engine.claim_one();
    harness.advance_ms(-30_000);
    assert_eq!(harness.writes_nothing(|| harness.rescue()), 0);
    harness.advance_ms(-1);
    assert_eq!(harness.rescue(), 1, "the lease now ends later than twice its length from now");
}

pub fn claims_of_dead_engine_are_rescued_at_once(harness: &Harness<'_>) {
    let (one, other) = (harness.engine(), harness.engine());
    let (_, roots) = harness.submit_tasks((0..4).map(|_| TaskDraft::new("A")));
    let (lost, kept) = (one.claim("A", 2), other.claim("A", 2));
    drop(one);
    assert_eq!(harness.rescue(), 2);
    let states: Vec<_> = roots.iter().map(|task| harness.state(*task)).collect();
    assert_eq!(states, [State::Failed, State::Failed, State::Running, State::Running]);
    for task in &lost {
        other.assert_stale(task.fence);
    }
    for task in &kept {
        other.settle_one(task, success());
    }
    assert_eq!(harness.writes_nothing(|| harness.rescue()), 0);
}

pub fn task_running_without_claim_is_never_rescued(harness: &Harness<'_>) {
    drop(harness.engine());
    let (_, task) = harness.submit_leaf();
    harness.start(task);
    harness.advance_ms(10 * 365 * 24 * 60 * 60 * 1000);
    assert_eq!(harness.writes_nothing(|| harness.rescue()), 0);
    assert_eq!(harness.state(task), State::Running);
}

pub fn step_rescues_at_most_its_limit(harness: &Harness<'_>) {
    let (one, dead) = (harness.engine(), harness.engine());
    harness.family(10);
    assert_eq!((one.claim("P", 5).len(), dead.claim("P", 5).len()), (5, 5));
    harness.advance_ms(1);
    drop(dead);
    let done = harness.rescue_step(2);
    assert_eq!((done.changed, done.more), (2, true));
    let done = harness.rescue_step(0);
    assert_eq!((done.changed, done.more), (1, true), "a limit of 0 counts as 1");
    harness.advance_ms(LONG_MS);
    let done = harness.rescue_step(6);
    assert_eq!((done.changed, done.more), (6, true));
    let done = harness.rescue_step(100);
    assert_eq!((done.changed, done.more), (1, false));
    assert_eq!(harness.writes_nothing(|| harness.rescue()), 0);
}

pub fn step_rescues_lease_that_ended_first(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_tasks((0..3).map(|_| TaskDraft::new("A")));
    let claimed = [3000, 1000, 2000].map(|lease_ms| {
        let request = Claim { lease_ms, ..engine.claim_request([quota("A", 1)], 1) };
        engine.claim_with(&request).tasks()[0].fence.task
    });
    harness.advance_ms(3000);
    for task in [claimed[1], claimed[2], claimed[0]] {
        assert_eq!(harness.state(task), State::Running);
        assert_eq!((harness.rescue_step(1).changed, harness.state(task)), (1, State::Failed));
    }
}

pub fn rescue_decides_parents_and_runs(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, parent) = harness.submit_task(leaf_with_retries(0).input(serde_json::json!({"fanout": 3})));
    harness.fan_out();
    assert_eq!(engine.claim("A", 10).len(), 3);
    drop(engine);
    assert_eq!(harness.rescue(), 3);
    assert_eq!((harness.child_counts(parent).open, harness.child_counts(parent).failed), (0, 3));
    assert_eq!(harness.aggregate(), (1, 1));
    assert_eq!(harness.run_state(run), State::Failed);
}

pub fn longest_lease_ends_with_its_engine(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_leaf();
    let request = Claim { lease_ms: MAX_LEASE_MS, ..engine.claim_request([quota("A", 1)], 1) };
    assert_eq!(engine.claim_with(&request).tasks().len(), 1);
    harness.advance_ms(i64::try_from(DEFAULT_LEASE_MS).expect("lease fits"));
    assert_eq!(harness.writes_nothing(|| harness.rescue()), 0);
    drop(engine);
    assert_eq!(harness.rescue(), 1);
}

pub fn task_losing_two_leases_is_isolated(harness: &Harness<'_>) {
    let engine = harness.engine();
    let task = engine.isolated_task();
    let (_, other) = harness.submit_leaf();
    assert_eq!(engine.claim_one().fence.task, other, "other tasks are claimed as usual");
    assert!(harness.writes_nothing(|| engine.claim("A", 10)).is_empty());
    let claimed = engine.claim_with_isolated("A", 10);
    assert_eq!((claimed.len(), claimed[0].fence.task, claimed[0].isolated), (1, task, true));
    engine.settle_one(&claimed[0], success());
    assert_eq!(harness.state(task), State::Succeeded);
}

pub fn isolated_tasks_are_claimed_one_by_one(harness: &Harness<'_>) {
    let engine = harness.engine();
    let isolated = [engine.isolated_task(), engine.isolated_task()];
    harness.submit_tasks((0..3).map(|_| TaskDraft::new("A")));
    let claimed = engine.claim_with_isolated("A", 10);
    let claimed_isolated: Vec<_> =
        claimed.iter().filter(|task| task.isolated).map(|task| task.fence.task).collect();
    assert_eq!((claimed.len(), claimed_isolated.len()), (4, 1), "one isolated task, and all other tasks");
    let next = engine.claim_with_isolated("A", 10);
    assert_eq!(next.len(), 1);
    let mut both = [claimed_isolated[0], next[0].fence.task];
    both.sort_unstable();
    assert_eq!(both, isolated);
}

pub fn isolated_task_counts_for_limits(harness: &Harness<'_>) {
    let engine = harness.engine();
    let task = engine.isolated_task();
    harness.submit_leaf();
    assert!(engine.claim_with_isolated("B", 10).is_empty(), "the isolated task has another kind");
    let claimed =
        engine.claim_with(&Claim { allow_isolated: true, ..engine.claim_request([quota("A", 1)], 10) });
    assert_eq!((claimed.tasks().len(), claimed.tasks()[0].fence.task, claimed.more), (1, task, true));
    assert_eq!(engine.claim("A", 10).len(), 1);
}

pub fn lost_lease_before_last_attempt_isolates_task(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, task) = harness.submit_task(leaf_with_retries(1));
    engine.lose_lease();
    assert!(engine.claim("A", 10).is_empty(), "the next attempt is the last one");
    let last = engine.claim_with_isolated("A", 10);
    assert_eq!(last[0].fence.task, task);
    engine.settle_one(&last[0], success());
    let (_, other) = harness.submit_task(leaf_with_retries(2));
    engine.lose_lease();
    assert_eq!(engine.claim_one().fence.task, other, "the task has two attempts left");
}

pub fn ordinary_failure_resets_lease_losses(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, task) = harness.submit_task(leaf_with_retries(9));
    engine.lose_lease();
    engine.settle_one(&engine.claim_one(), failure("it broke"));
    assert_eq!(harness.retry(), 1);
    engine.lose_lease();
    assert_eq!(engine.claim_one().fence.task, task, "only one lease in a row is lost");
}

pub fn ordinary_failure_ends_isolation(harness: &Harness<'_>) {
    let engine = harness.engine();
    let task = engine.isolated_task();
    engine.settle_one(&engine.claim_with_isolated("A", 1)[0], failure("it broke"));
    assert_eq!(harness.retry(), 1);
    let claimed = engine.claim_one();
    assert_eq!((claimed.fence.task, claimed.isolated), (task, false));
}

pub fn released_isolated_task_stays_isolated(harness: &Harness<'_>) {
    let engine = harness.engine();
    engine.isolated_task();
    let claimed = engine.claim_with_isolated("A", 1);
    assert_eq!(engine.release(&[claimed[0].fence]), [FenceOutcome::Applied]);
    assert!(engine.claim("A", 10).is_empty());
    assert!(engine.claim_with_isolated("A", 10)[0].isolated);
}
