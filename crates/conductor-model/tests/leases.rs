//! Fences, leases, and lost leases.

use conductor_model::{
    DEFAULT_LEASE_MS, LeaseLosses, MAX_LEASE_MS, State, Timestamp, fence_is_valid, lease_expired,
    next_lease_losses,
};
use proptest::prelude::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

#[test]
fn fence_is_valid_only_for_running_claimed_attempt() {
    for state in State::ALL {
        for leased in [true, false] {
            for (attempt, fence) in [(1, 1), (2, 2), (2, 1), (1, 2), (0, 0), (u32::MAX, 0)] {
                let expected = state == State::Running && leased && attempt == fence;
                assert_eq!(fence_is_valid(state, leased, attempt, fence), expected);
            }
        }
    }
}

#[test]
fn lease_expires_at_its_end() {
    let (since, until) = (at(1_000_000), at(1_000_000).plus_millis(DEFAULT_LEASE_MS));
    assert!(!lease_expired(until, since, since));
    assert!(!lease_expired(until, since, until.minus_millis(1)));
    assert!(lease_expired(until, since, until));
    assert!(lease_expired(until, since, Timestamp::MAX));
}

#[test]
fn clock_set_back_within_duration_expires_no_lease() {
    let (since, until) = (at(1_000_000), at(1_030_000));
    for back in [1, 1000, 29_999, 30_000] {
        assert!(!lease_expired(until, since, since.minus_millis(back)), "{back} ms");
    }
}

#[test]
fn clock_set_back_beyond_duration_expires_lease() {
    let (since, until) = (at(1_000_000), at(1_030_000));
    assert!(lease_expired(until, since, since.minus_millis(30_001)));
    assert!(lease_expired(until, since, Timestamp::MIN));
    let years_ahead = at(10 * 365 * 24 * 60 * 60 * 1000);
    assert!(lease_expired(years_ahead.plus_millis(MAX_LEASE_MS), years_ahead, at(0)));
}

#[test]
fn lease_without_duration_is_expired() {
    assert!(lease_expired(at(5), at(5), at(5)));
    assert!(lease_expired(at(5), at(5), at(4)), "any time ahead exceeds twice a duration of 0");
    assert!(lease_expired(at(5), at(9), at(4)), "it ended before it began");
}

#[test]
fn second_loss_or_last_retry_isolates_task() {
    assert_eq!(next_lease_losses(None, 3), LeaseLosses::Once);
    assert_eq!(next_lease_losses(None, 2), LeaseLosses::Once);
    assert_eq!(next_lease_losses(None, 1), LeaseLosses::Isolate, "the next attempt is the last");
    assert_eq!(next_lease_losses(None, 0), LeaseLosses::Isolate);
    for retries_left in [0, 1, 2, 1000] {
        assert_eq!(next_lease_losses(Some(LeaseLosses::Once), retries_left), LeaseLosses::Isolate);
        assert_eq!(next_lease_losses(Some(LeaseLosses::Isolate), retries_left), LeaseLosses::Isolate);
    }
}

proptest! {
    #[test]
    fn lease_expires_at_end_or_beyond_twice_duration(
        since in 0..1_000_000_000_i64, duration in 1..=MAX_LEASE_MS, offset in -300_000_000..300_000_000_i64,
    ) {
        let until = at(since).plus_millis(duration);
        let now = at(since + offset);
        let ahead = until.as_millis() - now.as_millis();
        let expected = ahead <= 0 || ahead > 2 * i64::try_from(duration).unwrap();
        prop_assert_eq!(lease_expired(until, at(since), now), expected);
    }
}
