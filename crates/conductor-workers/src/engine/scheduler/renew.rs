//! Keeps claims: renews their leases, and ends attempts whose timeout has passed.

use super::state::Scheduler;
use crate::engine::trace;
use crate::handler::attempt::Attempt;
use crate::handler::batch::bits;
use crate::handler::clock::millis;
use conductor_model::AttemptFailure;
use conductor_store::{AttemptResult, Fence, FenceOutcome, Renew, StoreError};
use std::sync::Arc;
use std::time::Duration;

impl Scheduler {
    /// Records the attempts whose timeout has passed as failed, and abandons them.
    pub(super) fn time_out_overdue(&mut self, now: Duration) {
        let overdue: Vec<_> = self.claims.started().filter(|attempt| attempt.is_overdue(now)).collect();
        for attempt in overdue {
            trace::timed_out(&attempt, self.base.kind_of(&attempt.batch));
            self.outbox.push(attempt.fence(), AttemptResult::Failed(AttemptFailure::TimedOut));
            self.claims.abandon_attempt(attempt);
        }
    }

    /// Renews all leases with one request, including those of results that wait to be settled. Abandons the tasks whose
    /// claims are lost.
    pub(super) fn renew_leases(&mut self, now: Duration) -> Result<(), StoreError> {
        if self.claims.is_empty() && !self.outbox.has_results() || now < self.heartbeat.next_at() {
            return Ok(());
        }
        let fences: Vec<Fence> = self.claims.fences().chain(self.outbox.result_fences()).collect();
        let (store, env, lease) = (&*self.base.store, &*self.base.env, millis(self.base.settings.lease));
        let renew = &mut |fences: &[Fence]| store.renew(&Renew::new(fences.to_vec(), lease, env));
        let renewed = match self.corrupt_rows.bisect(&fences, renew) {
            Ok(renewed) => renewed,
            Err(error) => {
                self.abandon_started_after_lease(now);
                return Err(error);
            }
        };
        let mut renewed = renewed.into_iter();
        for batch in self.claims.batches().cloned().collect::<Vec<_>>() {
            let mut lost = 0;
            for bit in bits(batch.claimed()) {
                if renewed.next() != Some(Some(FenceOutcome::Applied)) {
                    lost |= bit;
                }
            }
            trace::leases_lost(&batch, lost, self.base.kind_of(&batch));
            self.claims.abandon(&batch, lost);
        }
        self.heartbeat.extend_validity(now);
        Ok(())
    }

    /// Abandons the running attempts if their leases may have ended: another engine may run them by now. Tasks that have not
    /// started wait until the store answers.
    fn abandon_started_after_lease(&mut self, now: Duration) {
        if self.heartbeat.validity().holds(now) {
            return;
        }
        for attempt in self.claims.started().collect::<Vec<_>>() {
            self.lose_attempt(attempt);
        }
    }

    /// Abandons a running attempt whose claim is lost, or may be.
    pub(super) fn lose_attempt(&mut self, attempt: Arc<Attempt>) {
        trace::leases_lost(&attempt.batch, attempt.bit, self.base.kind_of(&attempt.batch));
        self.claims.abandon_attempt(attempt);
    }
}
