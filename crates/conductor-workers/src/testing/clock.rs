//! The virtual clock of a simulation.

use crate::handler::cancel_token::CancelToken;
use crate::handler::clock::Monotonic;
use conductor_model::Timestamp;
use conductor_store::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// 2026-01-01T00:00:00Z: when simulations begin.
const BEGIN: i64 = 1_767_225_600_000;

/// A monotonic clock and a system clock in one. The system clock can also jump.
#[derive(Debug, Default)]
pub(super) struct VirtualClock {
    /// Nanoseconds since the simulation began.
    elapsed: AtomicU64,
    /// The nanoseconds for which the handler that runs at this moment has slept.
    slept: AtomicU64,
    /// The error of the system clock in milliseconds.
    offset_ms: AtomicI64,
}

impl VirtualClock {
    pub(super) fn now(&self) -> Duration {
        Duration::from_nanos(self.elapsed.load(Ordering::Relaxed))
    }

    /// Moves the clock forward to `to`. Never moves it back.
    pub(super) fn move_to(&self, to: Duration) {
        let to = u64::try_from(to.as_nanos()).unwrap_or(u64::MAX);
        self.elapsed.fetch_max(to, Ordering::Relaxed);
    }

    /// Takes the time for which the last handler has slept.
    pub(super) fn take_slept(&self) -> Duration {
        Duration::from_nanos(self.slept.swap(0, Ordering::Relaxed))
    }

    pub(super) fn set_offset_ms(&self, millis: i64) {
        self.offset_ms.store(millis, Ordering::Relaxed);
    }
}

impl Monotonic for VirtualClock {
    fn elapsed(&self) -> Duration {
        self.now() + Duration::from_nanos(self.slept.load(Ordering::Relaxed))
    }

    fn wait(&self, token: &CancelToken, time: Duration, deadline: Option<Duration>) -> bool {
        let rest = deadline.map(|deadline| deadline.saturating_sub(self.elapsed()));
        let should_stop = token.is_cancelled() || rest.is_some_and(|rest| rest <= time);
        let waits = rest.map_or(time, |rest| rest.min(time));
        self.slept.fetch_add(u64::try_from(waits.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        should_stop
    }
}

/// The system clock of a simulation.
pub(super) struct SystemTime(pub(super) Arc<VirtualClock>);

impl Clock for SystemTime {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.0.now().as_millis()).unwrap_or(i64::MAX);
        let time = BEGIN.saturating_add(elapsed).saturating_add(self.0.offset_ms.load(Ordering::Relaxed));
        let (min, max) = (Timestamp::MIN.as_millis(), Timestamp::MAX.as_millis());
        Timestamp::from_millis(time.clamp(min, max)).unwrap_or(Timestamp::MAX)
    }
}
