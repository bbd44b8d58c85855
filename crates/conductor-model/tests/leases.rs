//! When a fence holds, when a lease is over, and what follows when one is lost.

use conductor_model::{
    DEFAULT_LEASE_MS, LeaseLosses, MAX_LEASE_MS, State, Timestamp, fence_is_valid, lease_expired,
    next_lease_losses,
};
use proptest::prelude::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

#[test]
fn a_fence_holds_only_while_its_attempt_runs_under_a_claim() {
    for state in State::ALL {
        for leased in [true, false] {
            for (attempt, named) in [(1, 1), (2, 2), (2, 1), (1, 2), (0, 0), (u32::MAX, 0)] {
                let expected = state == State::Running && leased && attempt == named;
                assert_eq!(fence_is_valid(state, leased, attempt, named), expected);
            }
        }
    }
}

#[test]
fn a_lease_is_over_from_its_last_millisecond_on() {
    let (since, until) = (at(1_000_000), at(1_000_000).plus_millis(DEFAULT_LEASE_MS));
    assert!(!lease_expired(until, since, since));
    assert!(!lease_expired(until, since, until.minus_millis(1)));
    assert!(lease_expired(until, since, until));
    assert!(lease_expired(until, since, Timestamp::MAX));
}

#[test]
fn a_clock_that_is_set_back_a_little_ends_no_lease() {
    let (since, until) = (at(1_000_000), at(1_030_000));
    for back in [1, 1000, 29_999, 30_000] {
        assert!(!lease_expired(until, since, since.minus_millis(back)), "{back} ms");
    }
}

#[test]
fn a_clock_that_is_set_back_far_ends_the_leases_that_it_gave() {
    let (since, until) = (at(1_000_000), at(1_030_000));
    assert!(lease_expired(until, since, since.minus_millis(30_001)));
    assert!(lease_expired(until, since, Timestamp::MIN));
    let years_ahead = at(10 * 365 * 24 * 60 * 60 * 1000);
    assert!(lease_expired(years_ahead.plus_millis(MAX_LEASE_MS), years_ahead, at(0)));
}

#[test]
fn a_lease_that_was_given_without_a_length_is_over() {
    assert!(lease_expired(at(5), at(5), at(5)));
    assert!(lease_expired(at(5), at(5), at(4)), "any distance is further than twice nothing");
    assert!(lease_expired(at(5), at(9), at(4)), "it was over before it began");
}

#[test]
fn a_task_whose_lease_was_lost_twice_or_would_be_for_the_last_time_is_run_alone() {
    assert_eq!(next_lease_losses(None, 3), LeaseLosses::Once);
    assert_eq!(next_lease_losses(None, 2), LeaseLosses::Once);
    assert_eq!(next_lease_losses(None, 1), LeaseLosses::Isolate, "the next attempt is the last one");
    assert_eq!(next_lease_losses(None, 0), LeaseLosses::Isolate);
    for retries_left in [0, 1, 2, 1000] {
        assert_eq!(next_lease_losses(Some(LeaseLosses::Once), retries_left), LeaseLosses::Isolate);
        assert_eq!(next_lease_losses(Some(LeaseLosses::Isolate), retries_left), LeaseLosses::Isolate);
    }
}

proptest! {
    #[test]
    fn a_lease_is_over_at_its_end_or_when_it_lies_further_ahead_than_twice_its_length(
        since in 0..1_000_000_000_i64, length in 1..=MAX_LEASE_MS, off in -300_000_000..300_000_000_i64,
    ) {
        let until = at(since).plus_millis(length);
        let now = at(since + off);
        let ahead = until.as_millis() - now.as_millis();
        let expected = ahead <= 0 || ahead > 2 * i64::try_from(length).unwrap();
        prop_assert_eq!(lease_expired(until, at(since), now), expected);
    }
}
