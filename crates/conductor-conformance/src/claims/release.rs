//! Release: work that is handed back costs nothing.

use crate::World;
use crate::harness::test_engine::{fences, success};
use conductor_model::{MAX_TASKS, State, TaskDraft};
use conductor_store::{FenceOutcome, Release, StoreError};

pub fn released_task_is_ready_with_all_retries(world: &World<'_>) {
    let hands = world.hands();
    let (run, task) = world.leaf();
    let claimed = hands.claim_one();
    let seen = world.events().len();
    world.pass_ms(10);
    assert_eq!(hands.release(&[claimed.fence]), [FenceOutcome::Applied]);
    let row = world.task(task);
    assert_eq!((row.state, row.due_at, row.lease_until), (State::Pending, None, None));
    assert_eq!((row.attempt, row.retry_count, row.last_error), (1, 0, None));
    assert_eq!(row.updated_at, world.now());
    assert_eq!(world.run_state(run), State::Running, "a run that has started goes on");
    assert_eq!(world.event_names(seen), ["task.released"]);
}

pub fn released_task_is_reclaimed_with_new_fence(world: &World<'_>) {
    let (one, other) = (world.hands(), world.hands());
    let (_, task) = world.leaf();
    let first = one.claim_one();
    assert_eq!(one.release(&[first.fence]), [FenceOutcome::Applied]);
    one.assert_stale(first.fence);
    let second = other.claim_one();
    assert_eq!((second.fence.task, second.fence.attempt, second.retry_count), (task, 2, 0));
    one.assert_stale(first.fence);
    other.end(&second, success());
    assert_eq!(world.state(task), State::Succeeded);
}

pub fn stale_fence_does_not_affect_others(world: &World<'_>) {
    let hands = world.hands();
    let (_, roots) = world.run_of((0..4).map(|_| TaskDraft::new("A")));
    let claimed = hands.claim("A", 10);
    hands.end(&claimed[0], success());
    let mut given = fences(&claimed);
    given[2].attempt = 7;
    given.push(given[1]);
    let answers = hands.release(&given);
    let expected = [
        FenceOutcome::Stale,
        FenceOutcome::Applied,
        FenceOutcome::Stale,
        FenceOutcome::Applied,
        FenceOutcome::Stale,
    ];
    assert_eq!(answers, expected, "the last one names the second task once more");
    let states: Vec<_> = roots.iter().map(|task| world.state(*task)).collect();
    assert_eq!(states, [State::Succeeded, State::Pending, State::Running, State::Pending]);
}

pub fn many_parents_and_runs_release_at_once(world: &World<'_>) {
    let hands = world.hands();
    let (run, parent, _) = world.family(3);
    world.run_of((0..3).map(|_| TaskDraft::new("P")));
    let (_, other, _) = world.family(3);
    let claimed = hands.claim("P", 100);
    assert_eq!(claimed.len(), 9);
    assert!(hands.release(&fences(&claimed)).iter().all(|answer| *answer == FenceOutcome::Applied));
    assert_eq!((world.numbers(parent).open, world.numbers(other).open), (3, 3));
    assert_eq!(world.run(run).state_counts.pending, 3);
    assert_eq!(hands.claim("P", 100).len(), 9);
}

pub fn oversized_batch_is_rejected(world: &World<'_>) {
    let hands = world.hands();
    world.leaf();
    let request = Release { fences: vec![hands.claim_one().fence; MAX_TASKS + 1], now: world.now() };
    let refused = world.writes_nothing(|| world.store().release(&request));
    assert!(matches!(refused, Err(StoreError::BatchTooLarge { max: MAX_TASKS, .. })), "{refused:?}");
}
