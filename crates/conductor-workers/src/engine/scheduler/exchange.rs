//! The exchange with the store: one transaction that settles results and makes the next claim.

use super::state::{Closing, Results, Scheduler, result_bytes};
use crate::engine::trace;
use crate::handler::attempt::{Attempt, Finished};
use crate::handler::batch::Batch;
use conductor_model::AttemptFailure;
use conductor_store::{AttemptResult, Claim, ClaimOutcome, Settle, StoreError};
use std::sync::Arc;
use std::time::Duration;

impl Scheduler {
    /// Collects finished attempts, settles their results, and returns what it claimed. `lost_workers` is
    /// the number of workers whose handlers ignore their timeout.
    ///
    /// After an error nothing is lost: the results and the releases wait for the next turn.
    pub(super) fn settle_and_claim(
        &mut self,
        now: Duration,
        finished: Vec<Finished>,
        lost_workers: u32,
    ) -> Result<Vec<Arc<Batch>>, StoreError> {
        self.collect(finished);
        // First: another error must not cost the claims their leases.
        self.keep_claims(now)?;
        match self.compose(now, lost_workers)? {
            Some(request) => self.commit(now, request),
            None => Ok(Vec::new()),
        }
    }

    /// Phase 1: puts the results of finished attempts into the outbox.
    pub(crate) fn collect(&mut self, finished: Vec<Finished>) {
        let (mut count, mut bytes) = (0, 0);
        for finished in finished {
            match finished {
                Finished::Succeeded(batch) => {
                    // Without a claim it was settled otherwise: its timeout had passed, or its claim was lost.
                    let succeeded = self.claims.remove(&batch, batch.take_succeeded());
                    count += succeeded.count_ones() as usize;
                    if succeeded != 0 {
                        self.outbox.push_succeeded(batch.fences(succeeded));
                    }
                }
                Finished::Attempt(attempt, result) => {
                    count += 1;
                    bytes += result.as_ref().map_or(0, result_bytes);
                    if self.claims.remove(&attempt.batch, attempt.bit) != 0 {
                        self.collect_one(&attempt, result);
                    }
                }
            }
        }
        self.prefetch.measure_outputs(count, bytes);
    }

    fn collect_one(&mut self, attempt: &Attempt, result: Option<AttemptResult>) {
        let Some(result) = result else {
            self.outbox.push_releases([attempt.fence()]);
            self.closing.get_or_insert(Closing::RuntimeShutDown);
            return;
        };
        match &result {
            AttemptResult::Failed(AttemptFailure::TimedOut) => {
                trace::timed_out(attempt, self.base.kind_of(&attempt.batch));
            }
            AttemptResult::Failed(failure) => {
                trace::failed(attempt, self.base.kind_of(&attempt.batch), failure);
            }
            AttemptResult::Succeeded { .. } => {}
        }
        self.outbox.push(attempt.fence(), result);
    }

    /// Phase 2: keeps the claims that are valid, and releases those that are not needed.
    fn keep_claims(&mut self, now: Duration) -> Result<(), StoreError> {
        self.time_out_overdue(now);
        self.renew_leases(now)?;
        self.recover_unknown_claims()?;
        self.send_releases()
    }

    /// Phase 3: composes the request; `None` if there is nothing to settle and nothing to claim.
    fn compose(&mut self, now: Duration, lost_workers: u32) -> Result<Option<Settle>, StoreError> {
        let results = self.outbox.take_batch(self.base.settings.max_settle_bytes);
        self.prefetch.begin_exchange(now, results.len());
        let Results { single, succeeded } = results;
        let mut request = Settle { succeeded, ..Settle::new(single, &self.base.env) };
        match self.release_surplus(now, lost_workers).and_then(|()| self.compose_claim(lost_workers)) {
            Ok(claim) => request.claim = claim,
            Err(error) => {
                self.outbox.requeue(results_of(request));
                return Err(error);
            }
        }
        let is_empty = request.claim.is_none() && request.results.is_empty() && request.succeeded.is_empty();
        Ok((!is_empty).then_some(request))
    }

    /// Composes the next claim; `None` if there is no room for more tasks, or if nothing may be claimed.
    pub(super) fn compose_claim(&mut self, lost_workers: u32) -> Result<Option<Claim>, StoreError> {
        let settings = &self.base.settings;
        let workers = settings.workers.saturating_sub(lost_workers);
        let max = if workers == 0 { 0 } else { workers + self.prefetch.max() };
        // A result keeps its place until it is settled.
        let used = self.claims.len() + self.outbox.len();
        let limit = max.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX));
        if self.closing.is_some() || limit == 0 || settings.kinds.is_empty() || self.outbox.is_full() {
            return Ok(None);
        }
        self.rotation.compose(&self.base, &self.claims, limit).map(Some)
    }

    /// Phase 4: sends the request, and returns what it claimed.
    fn commit(&mut self, now: Duration, request: Settle) -> Result<Vec<Arc<Batch>>, StoreError> {
        match self.base.store.settle(&request) {
            Ok(outcome) => {
                trace::claimed(outcome.claimed.len());
                trace::settled(&request, &outcome);
                Ok(self.accept_claims(now, request.claim.as_ref(), outcome.claimed))
            }
            Err(StoreError::CorruptRow { .. }) => self.settle_separately(now, request),
            Err(error) => {
                self.prefetch.fail_exchange();
                self.outbox.claim_unknown |=
                    request.claim.is_some() && matches!(error, StoreError::CommitOutcomeUnknown(_));
                self.outbox.requeue(results_of(request));
                Err(error)
            }
        }
    }

    /// Settles the results and makes the claim in separate requests, because a corrupt row prevents the common one. A
    /// result whose own row is corrupt is dropped.
    fn settle_separately(
        &mut self,
        now: Duration,
        mut request: Settle,
    ) -> Result<Vec<Arc<Batch>>, StoreError> {
        let claim = request.claim.take();
        let results = results_of(request).into_single();
        let (store, env) = (&*self.base.store, &*self.base.env);
        let settle = &mut |results: &[_]| Ok(store.settle(&Settle::new(results.to_vec(), env))?.results);
        if !results.is_empty()
            && let Err(error) = self.corrupt_rows.bisect(&results, settle)
        {
            self.outbox.requeue(Results { single: results, succeeded: Vec::new() });
            return Err(error);
        }
        let Some(claim) = claim else { return Ok(Vec::new()) };
        let claimed = store.claim(&claim);
        self.outbox.claim_unknown |= matches!(claimed, Err(StoreError::CommitOutcomeUnknown(_)));
        let claimed = self.corrupt_rows.skip(claimed)?;
        Ok(self.accept_claims(now, Some(&claim), claimed))
    }

    /// Adds claimed tasks to the claims, and returns them in batches.
    pub(super) fn accept_claims(
        &mut self,
        now: Duration,
        claim: Option<&Claim>,
        claimed: ClaimOutcome,
    ) -> Vec<Arc<Batch>> {
        self.rotation.advance(claim, &claimed);
        if self.claims.is_empty() && !self.outbox.has_results() {
            self.heartbeat.extend_validity(now);
        }
        let mut batches = Vec::new();
        for group in claimed.groups {
            let kind = self.rotation.kind_at(group.quota_index);
            batches.extend(Batch::of_group(group, kind, self.claims.next_group()));
        }
        for batch in &batches {
            // The engine claims a task again that it lost while its process was suspended.
            for (lost, tasks) in self.claims.insert(batch) {
                trace::leases_lost(&lost, tasks, self.base.kind_of(&lost));
            }
        }
        let sizes = batches.iter().map(|batch| batch.size());
        let (tasks, bytes) = sizes.fold((0, 0), |all, (tasks, bytes)| (all.0 + tasks, all.1 + bytes));
        self.prefetch.measure_inputs(tasks, bytes);
        batches
    }
}

/// The results of a request.
fn results_of(request: Settle) -> Results {
    Results { single: request.results, succeeded: request.succeeded }
}
