//! Rings when an engine may have written something, for whoever follows what happens.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Counts its rings. Whoever listens asks for the count, then looks, then waits for another count: no ring is missed, and
/// whoever rings waits for nobody.
#[derive(Debug, Default)]
pub(crate) struct EventSignal {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl EventSignal {
    pub(crate) fn ring(&self) {
        *self.lock() += 1;
        self.rung.notify_all();
    }

    /// How often it has rung.
    pub(crate) fn rings(&self) -> u64 {
        *self.lock()
    }

    /// Waits so long, or until it has rung another number of times; whether it has.
    pub(crate) fn wait(&self, known: u64, patience: Duration) -> bool {
        let waited = self.rung.wait_timeout_while(self.lock(), patience, |rings| *rings == known);
        *waited.unwrap_or_else(PoisonError::into_inner).0 != known
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
