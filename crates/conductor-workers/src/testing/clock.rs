//! The clock of a simulation: it moves when it is told to.

use crate::handler::cancel_token::CancelToken;
use crate::handler::clock::Monotonic;
use conductor_model::Timestamp;
use conductor_store::Clock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// 2026-01-01T00:00:00Z: when simulations begin.
const BEGIN: i64 = 1_767_225_600_000;

/// Two clocks in one: a monotonic one, and one on the wall that can also jump.
#[derive(Debug, Default)]
pub(super) struct VirtualClock {
    /// Nanoseconds since the simulation began.
    elapsed: AtomicU64,
    /// How far the handler that runs at this moment is ahead, for all that it waited.
    ahead: AtomicU64,
    /// By how many milliseconds the clock on the wall is wrong.
    wrong_by: AtomicI64,
}

impl VirtualClock {
    pub(super) fn now(&self) -> Duration {
        Duration::from_nanos(self.elapsed.load(Ordering::Relaxed))
    }

    /// Moves on; never back.
    pub(super) fn move_to(&self, to: Duration) {
        let to = u64::try_from(to.as_nanos()).unwrap_or(u64::MAX);
        self.elapsed.fetch_max(to, Ordering::Relaxed);
    }

    /// How long the handler that ran has waited in all; forgotten with that.
    pub(super) fn take_ahead(&self) -> Duration {
        Duration::from_nanos(self.ahead.swap(0, Ordering::Relaxed))
    }

    pub(super) fn set_wrong_by(&self, millis: i64) {
        self.wrong_by.store(millis, Ordering::Relaxed);
    }
}

impl Monotonic for VirtualClock {
    fn elapsed(&self) -> Duration {
        self.now() + Duration::from_nanos(self.ahead.load(Ordering::Relaxed))
    }

    fn wait(&self, signal: &CancelToken, time: Duration, deadline: Option<Duration>) -> bool {
        let rest = deadline.map(|deadline| deadline.saturating_sub(self.elapsed()));
        let is_over = signal.is_given() || rest.is_some_and(|rest| rest <= time);
        let waits = rest.map_or(time, |rest| rest.min(time));
        self.ahead.fetch_add(u64::try_from(waits.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        is_over
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.now().as_millis()).unwrap_or(i64::MAX);
        let wall = BEGIN.saturating_add(elapsed).saturating_add(self.wrong_by.load(Ordering::Relaxed));
        let (least, greatest) = (Timestamp::MIN.as_millis(), Timestamp::MAX.as_millis());
        Timestamp::from_millis(wall.clamp(least, greatest)).unwrap_or(Timestamp::MAX)
    }
}
