//! Leases and fences: when a fence is valid, when a lease expires, and what follows when one is lost.

use super::failure::AttemptFailure;
use super::node::{Signal, State};
use crate::time::Timestamp;

/// The default duration of a lease, in milliseconds: 30 seconds.
pub const DEFAULT_LEASE_MS: u64 = 30_000;
/// The longest duration of a lease, in milliseconds: one day.
pub const MAX_LEASE_MS: u64 = 24 * 60 * 60 * 1000;

/// Returns whether the holder of a claim on attempt `fence` may still renew, release or settle it.
///
/// The task must be RUNNING under a claim (`leased`) with this attempt. Attempt numbers only grow, so a lost claim is
/// never confused with a later one.
pub fn fence_is_valid(state: State, leased: bool, attempt: u32, fence: u32) -> bool {
    state == State::Running && leased && attempt == fence
}

/// Returns whether a lease that was granted or renewed at `since` and lasts until `until` is over at `now`.
///
/// A lease that ends further ahead than twice its own duration was granted under a clock that jumped, and counts as
/// expired. The factor of two tolerates a clock that was set back by less than the duration.
pub fn lease_expired(until: Timestamp, since: Timestamp, now: Timestamp) -> bool {
    until <= now || until.millis_since(now) > 2 * until.millis_since(since)
}

/// Counts how often a task lost its lease in a row; decides isolation.
///
/// The handler of the task, or a neighbor in the same process, may crash the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseLosses {
    /// One lost lease. The task runs as before.
    Once,
    /// Two lost leases in a row, or a lost lease with at most one retry left. The task is isolated.
    ///
    /// An engine runs at most one isolated task at a time. A task that crashes the process then uses up only its own
    /// retries.
    Isolate,
}

/// Returns the lease losses of a task after one more loss; `retries_left` counts the retries left after it.
pub fn next_lease_losses(before: Option<LeaseLosses>, retries_left: u32) -> LeaseLosses {
    if before.is_some() || retries_left <= 1 { LeaseLosses::Isolate } else { LeaseLosses::Once }
}

/// Returns the lease losses of a task after a transition; `retries_left` counts the retries left after this failure.
///
/// A lost lease adds to them. Start, retry and release keep them. Every other signal resets them.
pub fn lease_losses_after(
    before: Option<LeaseLosses>,
    signal: Signal,
    failure: Option<&AttemptFailure>,
    retries_left: u32,
) -> Option<LeaseLosses> {
    match (signal, failure) {
        (Signal::Start | Signal::Retry | Signal::Release, _) => before,
        (Signal::Fail, Some(AttemptFailure::LeaseExpired)) => Some(next_lease_losses(before, retries_left)),
        _ => None,
    }
}
