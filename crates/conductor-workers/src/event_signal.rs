//! Signals that an engine may have written events.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A counter of signals. A subscription reads the counter, then the events, and then waits for another count: so it misses
/// no signal, and the engine never waits for a subscription.
#[derive(Debug, Default)]
pub(crate) struct EventSignal {
    count: Mutex<u64>,
    changed: Condvar,
}

impl EventSignal {
    pub(crate) fn notify(&self) {
        *self.lock() += 1;
        self.changed.notify_all();
    }

    pub(crate) fn count(&self) -> u64 {
        *self.lock()
    }

    /// Waits until the count differs from `known`, or until the timeout. Returns whether it differs.
    pub(crate) fn wait(&self, known: u64, timeout: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, |count| *count == known);
        *waited.unwrap_or_else(PoisonError::into_inner).0 != known
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
