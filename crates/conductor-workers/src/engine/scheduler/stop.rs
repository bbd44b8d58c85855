//! Stops claiming, and hands claims back.

use super::state::{Closing, Scheduler};
use crate::handler::attempt::Finished;
use conductor_store::StoreError;

impl Scheduler {
    /// Claims nothing from now on, and releases the tasks that have not started. After an error the next turn repeats the
    /// releases.
    pub(crate) fn drain(&mut self) -> Result<(), StoreError> {
        self.closing.get_or_insert(Closing::Stopping);
        let removed = self.claims.remove_waiting(usize::MAX);
        self.release(removed)
    }

    /// Claims nothing from now on, and releases all tasks. Running handlers are asked to stop; their results will be stale.
    pub(crate) fn release_all(&mut self) -> Result<(), StoreError> {
        self.closing.get_or_insert(Closing::Stopping);
        // Their handlers have returned: they are settled, and not run again. Those that return from here on are released.
        let succeeded = self.claims.batches().cloned().map(Finished::Succeeded).collect();
        self.collect(succeeded);
        let removed = self.claims.remove_all();
        self.release(removed)
    }

    /// Claims nothing from now on, and asks all handlers to stop. Releases nothing: the store does not answer any more.
    pub(crate) fn abandon_all(&mut self) {
        self.closing.get_or_insert(Closing::Stopping);
        self.claims.remove_all();
    }
}
