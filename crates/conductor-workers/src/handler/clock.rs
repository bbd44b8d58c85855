//! Monotonic time inside a process.

use crate::handler::cancel_token::CancelToken;
use std::time::{Duration, Instant};

/// A clock that never moves back. Lease validity, timeouts and polls use it instead of the system time.
pub(crate) trait Monotonic: Send + Sync {
    /// Returns the time since the clock was created.
    fn elapsed(&self) -> Duration;

    /// Waits for `time`, until `token` is cancelled, or until `deadline`. Returns `true` in the last two cases.
    fn wait(&self, token: &CancelToken, time: Duration, deadline: Option<Duration>) -> bool;
}

/// The monotonic clock of the machine.
#[derive(Debug)]
pub(crate) struct MachineClock(Instant);

impl MachineClock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }
}

impl Monotonic for MachineClock {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn wait(&self, token: &CancelToken, time: Duration, deadline: Option<Duration>) -> bool {
        let rest = deadline.map_or(time, |deadline| time.min(deadline.saturating_sub(self.elapsed())));
        token.wait(rest) || deadline.is_some_and(|deadline| deadline <= self.elapsed())
    }
}

/// Returns whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
