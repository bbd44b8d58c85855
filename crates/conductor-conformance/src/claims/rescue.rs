//! Rescue: a claim whose lease is over, or whose engine is gone, is a failed attempt.

use crate::World;
use crate::harness::test_engine::{Hands, failure, success, want};
use conductor_model::{
    Backoff, DEFAULT_LEASE_MS, EventBody, FailureReason, MAX_LEASE_MS, State, TaskDraft, TaskId,
};
use conductor_store::{Claim, ClaimedTask, FenceOutcome};

/// More than any lease of these tests.
const LONG_MS: i64 = 60_000;

/// Lets an engine lose the claim of the one task that is ready, and retries it.
#[track_caller]
fn lose(world: &World<'_>, hands: &Hands<'_>) -> ClaimedTask {
    let claimed = hands.claim_one();
    world.pass_ms(LONG_MS);
    assert_eq!((world.rescue(), world.retry()), (1, 1));
    claimed
}

fn no_backoff(retries: i64) -> TaskDraft {
    TaskDraft::new("A").max_retries(retries)
}

pub fn expired_lease_fails_attempt(world: &World<'_>) {
    let hands = world.hands();
    let backoff = Backoff::fixed(5000).expect("a backoff");
    let (_, task) = world.one(TaskDraft::new("A").backoff(backoff));
    let claimed = hands.claim_one();
    world.pass_ms(29_999);
    assert_eq!(world.writes_nothing(|| world.rescue()), 0);
    world.pass_ms(1);
    let seen = world.events().len();
    assert_eq!(world.rescue(), 1);
    let row = world.task(task);
    let due = world.now().plus_millis(5000);
    assert_eq!((row.state, row.due_at, row.lease_until), (State::Failed, Some(due), None));
    assert_eq!((row.attempt, row.retry_count), (1, 0));
    assert_eq!(row.last_error.expect("an error").as_str(), "lease expired");
    let event = world.events().remove(seen);
    let (reason, error) = (FailureReason::LeaseExpired, "lease expired".into());
    assert_eq!(event.body, EventBody::TaskFailed { reason, error, due_at: Some(due) });
    hands.assert_stale(claimed.fence);
    assert_eq!(world.writes_nothing(|| world.rescue()), 0, "once");
}

pub fn rescued_task_is_retried(world: &World<'_>) {
    let hands = world.hands();
    let (run, task) = world.leaf();
    let lost = lose(world, &hands);
    let claimed = hands.claim_one();
    assert_eq!((claimed.fence.attempt, claimed.retry_count), (2, 1));
    hands.assert_stale(lost.fence);
    hands.end(&claimed, success());
    world.aggregate();
    assert_eq!((world.state(task), world.run_state(run)), (State::Succeeded, State::Succeeded));
}

pub fn task_losing_every_lease_fails(world: &World<'_>) {
    let hands = world.hands();
    let (run, task) = world.one(no_backoff(2));
    for attempt in 1..=3 {
        let claimed = hands.claim_also_alone("A", 10);
        assert_eq!(claimed[0].fence.attempt, attempt);
        world.pass_ms(LONG_MS);
        assert_eq!(world.rescue(), 1);
        assert_eq!(world.retry(), u32::from(attempt < 3));
    }
    let row = world.task(task);
    assert_eq!((row.state, row.due_at, row.attempt, row.retry_count), (State::Failed, None, 3, 2));
    assert_eq!(row.last_error.expect("an error").as_str(), "lease expired");
    assert_eq!(world.aggregate(), (0, 1));
    assert_eq!(world.run_state(run), State::Failed);
}

pub fn lease_from_clock_jump_is_rescued(world: &World<'_>) {
    let hands = world.hands();
    let (_, task) = world.leaf();
    let years = 10 * 365 * 24 * 60 * 60 * 1000;
    world.pass_ms(years);
    let claimed = hands.claim_one();
    world.pass_ms(-years);
    assert_eq!(world.rescue(), 1);
    assert_eq!(world.state(task), State::Failed);
    hands.assert_stale(claimed.fence);
}

pub fn small_clock_setback_keeps_lease(world: &World<'_>) {
    let hands = world.hands();
    world.leaf();
    let _ = hands.claim_one();
    world.pass_ms(-30_000);
    assert_eq!(world.writes_nothing(|| world.rescue()), 0);
    world.pass_ms(-1);
    assert_eq!(world.rescue(), 1, "now it is further ahead than twice its length");
}

pub fn claims_of_dead_engine_are_rescued_at_once(world: &World<'_>) {
    let (one, other) = (world.hands(), world.hands());
    let (_, roots) = world.run_of((0..4).map(|_| TaskDraft::new("A")));
    let (its, kept) = (one.claim("A", 2), other.claim("A", 2));
    drop(one);
    assert_eq!(world.rescue(), 2);
    let states: Vec<_> = roots.iter().map(|task| world.state(*task)).collect();
    assert_eq!(states, [State::Failed, State::Failed, State::Running, State::Running]);
    for task in &its {
        other.assert_stale(task.fence);
    }
    for task in &kept {
        other.end(task, success());
    }
    assert_eq!(world.writes_nothing(|| world.rescue()), 0);
}

pub fn task_running_without_claim_is_never_rescued(world: &World<'_>) {
    drop(world.hands());
    let (_, task) = world.leaf();
    world.start(task);
    world.pass_ms(10 * 365 * 24 * 60 * 60 * 1000);
    assert_eq!(world.writes_nothing(|| world.rescue()), 0);
    assert_eq!(world.state(task), State::Running);
}

pub fn step_rescues_at_most_its_limit(world: &World<'_>) {
    let (one, gone) = (world.hands(), world.hands());
    world.family(10);
    assert_eq!((one.claim("P", 5).len(), gone.claim("P", 5).len()), (5, 5));
    world.pass_ms(1);
    drop(gone);
    let done = world.rescue_step(2);
    assert_eq!((done.changed, done.more), (2, true));
    let done = world.rescue_step(0);
    assert_eq!((done.changed, done.more), (1, true), "a limit of 0 counts as 1");
    world.pass_ms(LONG_MS);
    let done = world.rescue_step(6);
    assert_eq!((done.changed, done.more), (6, true));
    let done = world.rescue_step(100);
    assert_eq!((done.changed, done.more), (1, false));
    assert_eq!(world.writes_nothing(|| world.rescue()), 0);
}

pub fn rescue_decides_parents_and_runs(world: &World<'_>) {
    let hands = world.hands();
    let (run, parent) = world.one(no_backoff(0).input(serde_json::json!({"fanout": 3})));
    world.fan_out();
    assert_eq!(hands.claim("A", 10).len(), 3);
    drop(hands);
    assert_eq!(world.rescue(), 3);
    assert_eq!((world.numbers(parent).open, world.numbers(parent).failed), (0, 3));
    assert_eq!(world.aggregate(), (1, 1));
    assert_eq!(world.run_state(run), State::Failed);
}

pub fn longest_lease_ends_with_its_engine(world: &World<'_>) {
    let hands = world.hands();
    world.leaf();
    let request = Claim { lease_ms: MAX_LEASE_MS, ..hands.request([want("A", 1)], 1) };
    assert_eq!(hands.ask(&request).tasks.len(), 1);
    world.pass_ms(i64::try_from(DEFAULT_LEASE_MS).expect("a number"));
    assert_eq!(world.writes_nothing(|| world.rescue()), 0);
    drop(hands);
    assert_eq!(world.rescue(), 1);
}

/// A task that has to be run alone.
pub(crate) fn lonely(world: &World<'_>, hands: &Hands<'_>) -> TaskId {
    let (_, task) = world.leaf();
    lose(world, hands);
    lose(world, hands);
    task
}

pub fn task_losing_two_leases_is_isolated(world: &World<'_>) {
    let hands = world.hands();
    let task = lonely(world, &hands);
    let (_, neighbour) = world.leaf();
    assert_eq!(hands.claim_one().fence.task, neighbour, "its neighbours are claimed as usual");
    assert!(world.writes_nothing(|| hands.claim("A", 10)).is_empty());
    let claimed = hands.claim_also_alone("A", 10);
    assert_eq!((claimed.len(), claimed[0].fence.task, claimed[0].isolated), (1, task, true));
    hands.end(&claimed[0], success());
    assert_eq!(world.state(task), State::Succeeded);
}

pub fn isolated_tasks_are_claimed_one_by_one(world: &World<'_>) {
    let hands = world.hands();
    let lonely = [lonely(world, &hands), lonely(world, &hands)];
    world.run_of((0..3).map(|_| TaskDraft::new("A")));
    let claimed = hands.claim_also_alone("A", 10);
    let alone: Vec<_> = claimed.iter().filter(|task| task.isolated).map(|task| task.fence.task).collect();
    assert_eq!((claimed.len(), alone.len()), (4, 1), "one of them, and all the others");
    let next = hands.claim_also_alone("A", 10);
    assert_eq!(next.len(), 1);
    let mut both = [alone[0], next[0].fence.task];
    both.sort_unstable();
    assert_eq!(both, lonely);
}

pub fn isolated_task_counts_for_limits(world: &World<'_>) {
    let hands = world.hands();
    let task = lonely(world, &hands);
    world.leaf();
    assert!(hands.claim_also_alone("B", 10).is_empty(), "it is of another kind");
    let claimed = hands.ask(&Claim { allow_isolated: true, ..hands.request([want("A", 1)], 10) });
    assert_eq!((claimed.tasks.len(), claimed.tasks[0].fence.task, claimed.more), (1, task, true));
    assert_eq!(hands.claim("A", 10).len(), 1);
}

pub fn lost_lease_before_last_attempt_isolates_task(world: &World<'_>) {
    let hands = world.hands();
    let (_, task) = world.one(no_backoff(1));
    lose(world, &hands);
    assert!(hands.claim("A", 10).is_empty(), "the next attempt is the last one");
    let last = hands.claim_also_alone("A", 10);
    assert_eq!(last[0].fence.task, task);
    hands.end(&last[0], success());
    let (_, other) = world.one(no_backoff(2));
    lose(world, &hands);
    assert_eq!(hands.claim_one().fence.task, other, "it has two attempts left");
}

pub fn ordinary_failure_resets_lease_losses(world: &World<'_>) {
    let hands = world.hands();
    let (_, task) = world.one(no_backoff(9));
    lose(world, &hands);
    hands.end(&hands.claim_one(), failure("it broke"));
    assert_eq!(world.retry(), 1);
    lose(world, &hands);
    assert_eq!(hands.claim_one().fence.task, task, "one lost lease in a row");
}

pub fn ordinary_failure_ends_isolation(world: &World<'_>) {
    let hands = world.hands();
    let task = lonely(world, &hands);
    hands.end(&hands.claim_also_alone("A", 1)[0], failure("it broke"));
    assert_eq!(world.retry(), 1);
    let claimed = hands.claim_one();
    assert_eq!((claimed.fence.task, claimed.isolated), (task, false));
}

pub fn released_isolated_task_stays_isolated(world: &World<'_>) {
    let hands = world.hands();
    lonely(world, &hands);
    let claimed = hands.claim_also_alone("A", 1);
    assert_eq!(hands.release(&[claimed[0].fence]), [FenceOutcome::Applied]);
    assert!(hands.claim("A", 10).is_empty());
    assert!(hands.claim_also_alone("A", 10)[0].isolated);
}
