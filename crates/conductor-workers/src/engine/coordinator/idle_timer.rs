//! How long an idle engine waits between two polls of the store.

use crate::limits::POLL_INTERVAL;
use std::time::Duration;

/// The first wait. The waits double up to [`POLL_INTERVAL`]: a write that wakes the engine is often committed only a
/// moment later.
pub(super) const MIN_IDLE_WAIT: Duration = Duration::from_millis(1);

/// After a wait of this length the store may do internal maintenance.
const CHECKPOINT_AFTER: Duration = Duration::from_millis(16);

/// How long the next wait is. Writes of other processes that need no work of this engine do not reset it.
#[derive(Debug)]
pub(super) struct IdleTimer {
    next_wait: Duration,
}

impl Default for IdleTimer {
    fn default() -> Self {
        Self { next_wait: MIN_IDLE_WAIT }
    }
}

impl IdleTimer {
    pub(super) fn next_wait(&self) -> Duration {
        self.next_wait
    }

    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Doubles the next wait. Returns whether the last one calls for maintenance.
    pub(super) fn grow(&mut self) -> bool {
        let waited = self.next_wait;
        self.next_wait = waited.saturating_mul(2).min(POLL_INTERVAL);
        waited == CHECKPOINT_AFTER
    }

    pub(super) fn is_at_maximum(&self) -> bool {
        self.next_wait == POLL_INTERVAL
    }
}
