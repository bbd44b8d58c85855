//! Keeps claims: renews their leases, and ends attempts whose timeout has passed.

use super::state::Scheduler;
use crate::engine::trace;
use crate::handler::clock::millis;
use conductor_model::AttemptFailure;
use conductor_store::{AttemptResult, Fence, FenceOutcome, Renew, StoreError};
use std::time::Duration;

impl Scheduler {
    /// Records the attempts whose timeout has passed as failed, and abandons them.
    pub(super) fn time_out_overdue(&mut self, now: Duration) {
        for attempt in self.claims.overdue(now) {
            trace::timed_out(&attempt, self.base.kind_of(&attempt));
            self.outbox.push(attempt.fence, AttemptResult::Failed(AttemptFailure::TimedOut));
            self.claims.abandon(attempt);
        }
    }

    /// Renews all leases with one request, including those of results that wait to be settled. Abandons the attempts
    /// whose claims are lost.
    pub(super) fn renew_leases(&mut self, now: Duration) -> Result<(), StoreError> {
        if self.claims.is_empty() && !self.outbox.has_results() || now < self.heartbeat.next_at() {
            return Ok(());
        }
        let claimed: Vec<_> = self.claims.iter().cloned().collect();
        let settling = self.outbox.result_fences();
        let fences: Vec<Fence> = claimed.iter().map(|attempt| attempt.fence).chain(settling).collect();
        let (store, env, lease) = (&*self.base.store, &*self.base.env, millis(self.base.settings.lease));
        let renew = &mut |fences: &[Fence]| store.renew(&Renew::new(fences.to_vec(), lease, env));
        let renewed = match self.corrupt_rows.bisect(&fences, renew) {
            Ok(renewed) => renewed,
            Err(error) => {
                self.abandon_started_after_lease(now);
                return Err(error);
            }
        };
        for (attempt, outcome) in claimed.into_iter().zip(renewed) {
            if outcome != Some(FenceOutcome::Applied) {
                trace::lease_lost(&attempt, self.base.kind_of(&attempt));
                self.claims.abandon(attempt);
            }
        }
        self.heartbeat.extend_validity(now);
        Ok(())
    }

    /// Abandons the started attempts if their leases may have ended: another engine may run them by now. Attempts that
    /// have not started wait until the store answers.
    fn abandon_started_after_lease(&mut self, now: Duration) {
        if self.heartbeat.validity().holds(now) {
            return;
        }
        for attempt in self.claims.started().cloned().collect::<Vec<_>>() {
            trace::lease_lost(&attempt, self.base.kind_of(&attempt));
            self.claims.abandon(attempt);
        }
    }
}
