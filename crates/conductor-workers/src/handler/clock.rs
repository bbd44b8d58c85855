//! Time inside a process: monotonic, and never that of the wall.

use crate::handler::cancel_token::CancelToken;
use std::time::{Duration, Instant};

/// A clock that never goes back. Leases that this process trusts, timeouts and polls go by it.
pub(crate) trait Monotonic: Send + Sync {
    /// The time since the clock was made.
    fn elapsed(&self) -> Duration;

    /// Lets so much time pass, or waits until the signal is given, which it is at `deadline`; whether it was.
    fn wait(&self, signal: &CancelToken, time: Duration, deadline: Option<Duration>) -> bool;
}

/// The machine's.
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

    fn wait(&self, signal: &CancelToken, time: Duration, deadline: Option<Duration>) -> bool {
        let rest = deadline.map_or(time, |deadline| time.min(deadline.saturating_sub(self.elapsed())));
        signal.wait(rest) || deadline.is_some_and(|deadline| deadline <= self.elapsed())
    }
}
