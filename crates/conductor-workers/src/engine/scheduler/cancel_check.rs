//! Checks whether the started attempts were cancelled, or are claimed by another engine.

use super::state::Scheduler;
use crate::engine::trace;
use conductor_store::{Fence, StoreError};
use std::time::Duration;

/// The shortest time between two checks.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// When the next check is due: only after a write to the store.
#[derive(Debug, Default)]
pub(super) struct CancelCheck {
    /// The store's change token in the last turn.
    change_token: Option<u64>,
    /// Whether the store has changed since the last check.
    store_changed: bool,
    not_before: Duration,
}

impl CancelCheck {
    /// Allows a check from `now` on: the engine itself has cancelled tasks.
    pub(super) fn allow_at(&mut self, now: Duration) {
        self.not_before = now;
    }

    /// Returns when the next check is due; `None` while the store has not changed.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.store_changed.then_some(self.not_before)
    }

    /// Returns whether a check is due, and if so plans the next one.
    fn begin(&mut self, now: Duration, change_token: u64) -> bool {
        self.store_changed |= self.change_token.replace(change_token) != Some(change_token);
        if !self.store_changed || now < self.not_before {
            return false;
        }
        (self.store_changed, self.not_before) = (false, now + CHECK_EVERY);
        true
    }
}

impl Scheduler {
    /// Abandons the started attempts whose claims are stale. Attempts that have not started notice it when they settle.
    pub(super) fn abandon_stale(&mut self, now: Duration, change_token: u64) -> Result<(), StoreError> {
        if !self.cancel_check.begin(now, change_token) {
            return Ok(());
        }
        let started: Vec<Fence> = self.claims.started().map(|attempt| attempt.fence).collect();
        if started.is_empty() {
            return Ok(());
        }
        for fence in self.corrupt_rows.skip(self.base.store.stale_claims(&started))? {
            if let Some(attempt) = self.claims.get(fence.key) {
                trace::lease_lost(&attempt, self.base.kind_of(&attempt));
                self.claims.abandon(attempt);
            }
        }
        Ok(())
    }
}
