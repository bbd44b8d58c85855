//! Claims: when a fence holds, when a lease is over, and what follows when one is lost.

use crate::retry::AttemptFailure;
use crate::time::Timestamp;
use crate::transition::{Signal, State};

/// How long a lease lasts when nothing else is said: 30 seconds, in milliseconds.
pub const DEFAULT_LEASE_MS: u64 = 30_000;
/// The longest lease: a day, in milliseconds.
pub const MAX_LEASE_MS: u64 = 24 * 60 * 60 * 1000;

/// Whether whoever holds the claim of attempt `named` may still renew, release or settle it.
///
/// Only while the task is RUNNING under a claim (`leased`) with that very attempt: attempts never go back, so that a
/// claim that was lost is never mistaken for a later one.
pub fn fence_is_valid(state: State, leased: bool, attempt: u32, named: u32) -> bool {
    state == State::Running && leased && attempt == named
}

/// Whether a lease that was given or renewed at `since` and lasts until `until` is over at `now`.
///
/// One that lies further ahead than twice its own length was given under a clock that jumped: it is over too. (Once its
/// own length would make every lease end when the clock is set back by a millisecond.)
pub fn lease_expired(until: Timestamp, since: Timestamp, now: Timestamp) -> bool {
    until <= now || until.millis_since(now) > 2 * until.millis_since(since)
}

/// What is known of a task whose lease was lost: it may be the one that kills its process, or a neighbour of that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseLosses {
    /// One lease: it goes on as before.
    Once,
    /// Two in a row, or the next would be its last attempt: it is run when no other such task runs in the same engine, so
    /// that the one that kills its process uses up its own attempts and not those of its neighbours.
    Isolate,
}

/// What follows for a task that lost a lease and has so many retries left after it.
pub fn next_lease_losses(before: Option<LeaseLosses>, retries_left: u32) -> LeaseLosses {
    if before.is_some() || retries_left <= 1 { LeaseLosses::Isolate } else { LeaseLosses::Once }
}

/// What is known of lost leases after a transition: a loss adds to it, what only moves the task on to its next attempt
/// leaves it alone, and everything else ends the row of losses. `retries_left` counts those after this failure.
pub fn lease_losses_after(
    before: Option<LeaseLosses>,
    signal: Signal,
    failed: Option<&AttemptFailure>,
    retries_left: u32,
) -> Option<LeaseLosses> {
    match (signal, failed) {
        (Signal::Start | Signal::Retry | Signal::Release, _) => before,
        (Signal::Fail, Some(AttemptFailure::LeaseExpired)) => Some(next_lease_losses(before, retries_left)),
        _ => None,
    }
}
