//! When an engine checks whether its attempts were cancelled.

use std::time::Duration;

/// The shortest time between two checks.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// When the next check is due: only after a write to the store.
#[derive(Debug, Default)]
pub(crate) struct CancelCheck {
    /// The store's change token in the last turn.
    change_token: Option<u64>,
    /// Whether the store has changed since the last check.
    store_changed: bool,
    not_before: Duration,
}

impl CancelCheck {
    /// Allows a check from `now` on: the engine itself has cancelled tasks.
    pub(crate) fn allow_at(&mut self, now: Duration) {
        self.not_before = now;
    }

    /// Returns when the next check is due; `None` while the store has not changed.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        self.store_changed.then_some(self.not_before)
    }

    /// Returns whether a check is due, and if so plans the next one.
    pub(crate) fn begin(&mut self, now: Duration, change_token: u64) -> bool {
        self.store_changed |= self.change_token.replace(change_token) != Some(change_token);
        if !self.store_changed || now < self.not_before {
            return false;
        }
        (self.store_changed, self.not_before) = (false, now + CHECK_EVERY);
        true
    }
}
