//! Release: a claim is released without using up a retry.

use crate::Harness;
use crate::harness::test_engine::{fences, success};
use conductor_model::{MAX_TASKS, State, TaskDraft};
use conductor_store::{FenceOutcome, Release, StoreError};

pub fn released_task_is_ready_with_all_retries(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, task) = harness.submit_leaf();
    let claimed = engine.claim_one();
    let seen = harness.events().len();
    harness.advance_ms(10);
    assert_eq!(engine.release(&[claimed.fence]), [FenceOutcome::Applied]);
    let row = harness.task(task);
    assert_eq!((row.state, row.due_at, row.lease_until), (State::Pending, None, None));
    assert_eq!((row.attempt, row.retry_count, row.last_error), (1, 0, None));
    assert_eq!(row.updated_at, harness.now());
    assert_eq!(harness.run_state(run), State::Running, "a started run stays running");
    assert_eq!(harness.event_names(seen), ["task.released"]);
}

pub fn released_task_is_reclaimed_with_new_fence(harness: &Harness<'_>) {
    let (one, other) = (harness.engine(), harness.engine());
    let (_, task) = harness.submit_leaf();
    let first = one.claim_one();
    assert_eq!(one.release(&[first.fence]), [FenceOutcome::Applied]);
    one.assert_stale(first.fence);
    let second = other.claim_one();
    assert_eq!((second.fence.task, second.fence.attempt, second.retry_count), (task, 2, 0));
    one.assert_stale(first.fence);
    other.settle_one(&second, success());
    assert_eq!(harness.state(task), State::Succeeded);
}

pub fn stale_fence_does_not_affect_others(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, roots) = harness.submit_tasks((0..4).map(|_| TaskDraft::new("A")));
    let claimed = engine.claim("A", 10);
    engine.settle_one(&claimed[0], success());
    let mut given = fences(&claimed);
    given[2].attempt = 7;
    given.push(given[1]);
    let answers = engine.release(&given);
    let expected = [
        FenceOutcome::Stale,
        FenceOutcome::Applied,
        FenceOutcome::Stale,
        FenceOutcome::Applied,
        FenceOutcome::Stale,
    ];
    assert_eq!(answers, expected, "the last fence repeats that of the second task");
    let states: Vec<_> = roots.iter().map(|task| harness.state(*task)).collect();
    assert_eq!(states, [State::Succeeded, State::Pending, State::Running, State::Pending]);
}

pub fn many_parents_and_runs_release_at_once(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, parent, _) = harness.family(3);
    harness.submit_tasks((0..3).map(|_| TaskDraft::new("P")));
    let (_, other, _) = harness.family(3);
    let claimed = engine.claim("P", 100);
    assert_eq!(claimed.len(), 9);
    assert!(engine.release(&fences(&claimed)).iter().all(|answer| *answer == FenceOutcome::Applied));
    assert_eq!((harness.child_counts(parent).open, harness.child_counts(other).open), (3, 3));
    assert_eq!(harness.run(run).state_counts.pending, 3);
    assert_eq!(engine.claim("P", 100).len(), 9);
}

pub fn oversized_batch_is_rejected(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_leaf();
    let request = Release { fences: vec![engine.claim_one().fence; MAX_TASKS + 1], now: harness.now() };
    let rejected = harness.writes_nothing(|| harness.store().release(&request));
    assert!(matches!(rejected, Err(StoreError::BatchTooLarge { max: MAX_TASKS, .. })), "{rejected:?}");
}
