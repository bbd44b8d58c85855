//! Renew: a lease is extended while its fence is valid.

use crate::Harness;
use crate::harness::test_engine::{fences, success};
use conductor_model::{DEFAULT_LEASE_MS, MAX_LEASE_MS, MAX_TASKS, State, TaskDraft};
use conductor_store::{FenceOutcome, Renew, StoreError};

pub fn renewal_changes_only_lease_end(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, task) = harness.submit_leaf();
    let claimed = engine.claim_one();
    let (before, seen) = (harness.task(task), harness.events().len());
    harness.advance_ms(20_000);
    assert_eq!(engine.renew(&[claimed.fence]), [FenceOutcome::Applied]);
    let after = harness.task(task);
    assert_eq!(after.lease_until, Some(harness.now().plus_millis(DEFAULT_LEASE_MS)));
    assert_eq!(after.updated_at, harness.now());
    assert_eq!((after.state, after.attempt), (before.state, before.attempt));
    assert!(harness.event_names(seen).is_empty(), "a renewal writes no event");
}

pub fn lease_renewed_in_time_is_kept(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, task) = harness.submit_leaf();
    let claimed = engine.claim_one();
    for _ in 0..5 {
        harness.advance_ms(29_999);
        assert_eq!(harness.writes_nothing(|| harness.rescue()), 0);
        assert_eq!(engine.renew(&[claimed.fence]), [FenceOutcome::Applied]);
    }
    engine.settle_one(&claimed, success());
    assert_eq!((harness.state(task), harness.task(task).attempt), (State::Succeeded, 1));
}

pub fn expired_lease_can_be_renewed_before_rescue(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_leaf();
    let claimed = engine.claim_one();
    harness.advance_ms(60_000);
    assert_eq!(engine.renew(&[claimed.fence]), [FenceOutcome::Applied]);
    assert_eq!(harness.writes_nothing(|| harness.rescue()), 0);
}

pub fn stale_fence_does_not_affect_others(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, roots) = harness.submit_tasks((0..3).map(|_| TaskDraft::new("A")));
    let claimed = engine.claim("A", 10);
    engine.settle_one(&claimed[1], success());
    harness.advance_ms(1000);
    let answers = engine.renew(&fences(&claimed));
    assert_eq!(answers, [FenceOutcome::Applied, FenceOutcome::Stale, FenceOutcome::Applied]);
    let until = Some(harness.now().plus_millis(DEFAULT_LEASE_MS));
    let leases: Vec<_> = roots.iter().map(|task| harness.task(*task).lease_until).collect();
    assert_eq!(leases, [until, None, until]);
}

pub fn renewed_lease_is_capped_at_one_day(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, task) = harness.submit_leaf();
    let fences = vec![engine.claim_one().fence];
    for (asked, given) in [(1, 1), (MAX_LEASE_MS, MAX_LEASE_MS), (u64::MAX, MAX_LEASE_MS)] {
        let request = Renew { fences: fences.clone(), lease_ms: asked, now: harness.now() };
        assert_eq!(harness.store().renew(&request).expect("query succeeds"), [FenceOutcome::Applied]);
        assert_eq!(harness.task(task).lease_until, Some(harness.now().plus_millis(given)));
    }
}

pub fn oversized_batch_is_rejected(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_leaf();
    let fences = vec![engine.claim_one().fence; MAX_TASKS + 1];
    let request = Renew { fences, lease_ms: 1, now: harness.now() };
    let rejected = harness.writes_nothing(|| harness.store().renew(&request));
    assert!(matches!(rejected, Err(StoreError::BatchTooLarge { max: MAX_TASKS, .. })), "{rejected:?}");
}

pub fn empty_batch_returns_no_answers(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_leaf();
    let _ = engine.claim_one();
    assert!(harness.writes_nothing(|| engine.renew(&[])).is_empty());
}
