//! Finds started attempts that were cancelled, or that another engine has claimed.

use super::state::Scheduler;
use conductor_store::{Fence, StoreError};
use std::collections::HashSet;
use std::time::Duration;

impl Scheduler {
    /// Abandons the running attempts whose claims are stale. Tasks that have not started notice it when they settle.
    pub(super) fn abandon_stale(&mut self, now: Duration, change_token: u64) -> Result<(), StoreError> {
        if !self.cancel_check.begin(now, change_token) {
            return Ok(());
        }
        let started: Vec<_> = self.claims.started().collect();
        if started.is_empty() {
            return Ok(());
        }
        let fences: Vec<Fence> = started.iter().map(|attempt| attempt.fence()).collect();
        let stale = self.corrupt_rows.skip(self.base.store.stale_claims(&fences))?;
        let stale: HashSet<Fence> = stale.into_iter().collect();
        for attempt in started.into_iter().filter(|attempt| stale.contains(&attempt.fence())) {
            self.lose_attempt(attempt);
        }
        Ok(())
    }
}
