//! Finds started attempts that were cancelled, or that another engine has claimed.

use super::state::Scheduler;
use crate::engine::trace;
use conductor_store::{Fence, StoreError};
use std::time::Duration;

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
