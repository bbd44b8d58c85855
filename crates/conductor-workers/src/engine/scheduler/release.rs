//! Hands claims back to the store.

use super::state::Scheduler;
use conductor_store::{Fence, MAX_PAGE, Release, StoreError};
use std::time::Duration;

impl Scheduler {
    /// Releases the tasks of a claim whose answer was lost, if the store committed it.
    pub(super) fn recover_unknown_claims(&mut self) -> Result<(), StoreError> {
        let Some(engine) = self.rotation.engine().filter(|_| self.outbox.claim_unknown) else {
            return Ok(());
        };
        let claimed = self.claims.fences();
        let settling = self.outbox.result_fences();
        let releasing = self.outbox.releases().iter().copied();
        let known: Vec<Fence> = claimed.chain(settling).chain(releasing).collect();
        let unknown = self.base.store.unknown_claims(engine, &known, MAX_PAGE);
        let unknown = self.corrupt_rows.skip(unknown)?;
        // After a full page there may be more.
        self.outbox.claim_unknown = unknown.len() == MAX_PAGE as usize;
        self.outbox.push_releases(unknown);
        Ok(())
    }

    /// Sends the waiting releases to the store.
    pub(super) fn send_releases(&mut self) -> Result<(), StoreError> {
        if self.outbox.releases().is_empty() {
            return Ok(());
        }
        let (store, env) = (&*self.base.store, &*self.base.env);
        let release = &mut |fences: &[Fence]| store.release(&Release::new(fences.to_vec(), env));
        // A claim that does not exist any more has passed to another engine.
        self.corrupt_rows.bisect(self.outbox.releases(), release)?;
        // Only after success: a claim that is not released is rescued later, and the rescue costs a retry.
        self.outbox.clear_releases();
        Ok(())
    }

    /// Releases claims that were removed.
    pub(super) fn release(&mut self, removed: Vec<Fence>) -> Result<(), StoreError> {
        self.outbox.push_releases(removed);
        self.send_releases()
    }

    /// Releases prefetched tasks that would wait too long, the last ones first.
    pub(super) fn release_surplus(&mut self, now: Duration, lost_workers: u32) -> Result<(), StoreError> {
        let waiting = self.claims.waiting();
        let workers = self.base.settings.workers.saturating_sub(lost_workers);
        let surplus =
            if self.outbox.is_full() { waiting } else { self.prefetch.surplus(now, waiting, workers) };
        if surplus == 0 {
            return Ok(());
        }
        let removed = self.claims.remove_waiting(surplus);
        self.release(removed)
    }
}
