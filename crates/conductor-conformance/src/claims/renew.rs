//! Renew: a lease goes on while its fence holds.

use crate::World;
use crate::harness::test_engine::{fences, success};
use conductor_model::{DEFAULT_LEASE_MS, MAX_LEASE_MS, MAX_TASKS, State, TaskDraft};
use conductor_store::{FenceOutcome, Renew, StoreError};

pub fn renewal_changes_only_lease_end(world: &World<'_>) {
    let hands = world.hands();
    let (_, task) = world.leaf();
    let claimed = hands.claim_one();
    let (before, seen) = (world.task(task), world.events().len());
    world.pass_ms(20_000);
    assert_eq!(hands.renew(&[claimed.fence]), [FenceOutcome::Applied]);
    let after = world.task(task);
    assert_eq!(after.lease_until, Some(world.now().plus_millis(DEFAULT_LEASE_MS)));
    assert_eq!(after.updated_at, world.now());
    assert_eq!((after.state, after.attempt), (before.state, before.attempt));
    assert!(world.event_names(seen).is_empty(), "nothing happened");
}

pub fn lease_renewed_in_time_is_kept(world: &World<'_>) {
    let hands = world.hands();
    let (_, task) = world.leaf();
    let claimed = hands.claim_one();
    for _ in 0..5 {
        world.pass_ms(29_999);
        assert_eq!(world.writes_nothing(|| world.rescue()), 0);
        assert_eq!(hands.renew(&[claimed.fence]), [FenceOutcome::Applied]);
    }
    hands.end(&claimed, success());
    assert_eq!((world.state(task), world.task(task).attempt), (State::Succeeded, 1));
}

pub fn expired_lease_can_be_renewed_before_rescue(world: &World<'_>) {
    let hands = world.hands();
    world.leaf();
    let claimed = hands.claim_one();
    world.pass_ms(60_000);
    assert_eq!(hands.renew(&[claimed.fence]), [FenceOutcome::Applied]);
    assert_eq!(world.writes_nothing(|| world.rescue()), 0);
}

pub fn stale_fence_does_not_affect_others(world: &World<'_>) {
    let hands = world.hands();
    let (_, roots) = world.run_of((0..3).map(|_| TaskDraft::new("A")));
    let claimed = hands.claim("A", 10);
    hands.end(&claimed[1], success());
    world.pass_ms(1000);
    let answers = hands.renew(&fences(&claimed));
    assert_eq!(answers, [FenceOutcome::Applied, FenceOutcome::Stale, FenceOutcome::Applied]);
    let until = Some(world.now().plus_millis(DEFAULT_LEASE_MS));
    let leases: Vec<_> = roots.iter().map(|task| world.task(*task).lease_until).collect();
    assert_eq!(leases, [until, None, until]);
}

pub fn renewed_lease_is_capped_at_one_day(world: &World<'_>) {
    let hands = world.hands();
    let (_, task) = world.leaf();
    let fences = vec![hands.claim_one().fence];
    for (asked, given) in [(1, 1), (MAX_LEASE_MS, MAX_LEASE_MS), (u64::MAX, MAX_LEASE_MS)] {
        let request = Renew { fences: fences.clone(), lease_ms: asked, now: world.now() };
        assert_eq!(world.store().renew(&request).expect("an answer"), [FenceOutcome::Applied]);
        assert_eq!(world.task(task).lease_until, Some(world.now().plus_millis(given)));
    }
}

pub fn oversized_batch_is_rejected(world: &World<'_>) {
    let hands = world.hands();
    world.leaf();
    let fences = vec![hands.claim_one().fence; MAX_TASKS + 1];
    let request = Renew { fences, lease_ms: 1, now: world.now() };
    let refused = world.writes_nothing(|| world.store().renew(&request));
    assert!(matches!(refused, Err(StoreError::BatchTooLarge { max: MAX_TASKS, .. })), "{refused:?}");
}

pub fn empty_batch_returns_no_answers(world: &World<'_>) {
    let hands = world.hands();
    world.leaf();
    let _ = hands.claim_one();
    assert!(world.writes_nothing(|| hands.renew(&[])).is_empty());
}
