//! Stops claiming, and hands claims back.

use super::state::{Closing, Scheduler};
use crate::handler::attempt::Attempt;
use conductor_store::StoreError;

impl Scheduler {
    /// Claims nothing from now on, and releases the attempts that have not started. After an error the next turn repeats
    /// the releases.
    pub(crate) fn drain(&mut self) -> Result<(), StoreError> {
        self.closing.get_or_insert(Closing::Stopping);
        self.release_where(Attempt::revoke)
    }

    /// Claims nothing from now on, and releases all attempts. Started handlers are asked to stop; their results will be
    /// stale.
    pub(crate) fn release_all(&mut self) -> Result<(), StoreError> {
        self.closing.get_or_insert(Closing::Stopping);
        self.release_where(|attempt| {
            if !attempt.revoke() {
                attempt.cancel_token().cancel();
            }
            true
        })
    }

    /// Claims nothing from now on, and asks all handlers to stop. Releases nothing: the store does not answer any more.
    pub(crate) fn abandon_all(&mut self) {
        self.closing.get_or_insert(Closing::Stopping);
        self.claims.cancel_all();
    }
}
