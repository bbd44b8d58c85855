//! Submits a run and claims its tasks in one transaction.

use super::state::Scheduler;
use crate::engine::trace;
use crate::handler::batch::Batch;
use conductor_model::{Kind, NewTask};
use conductor_store::{Claim, StoreError, Submit, SubmitError, SubmitOutcome};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// A submitted run, and the tasks that were claimed with it.
pub(crate) struct SubmittedRun {
    pub(crate) outcome: SubmitOutcome,
    pub(crate) claimed: Vec<Arc<Batch>>,
}

impl Scheduler {
    /// Submits a run, and claims the tasks of its kinds that the free workers can start.
    ///
    /// Returns `None` if nothing was submitted: no worker is free, nothing of the run can start now, or a corrupt row
    /// prevents the common transaction.
    pub(crate) fn submit(
        &mut self,
        now: Duration,
        request: &Submit,
        lost_workers: u32,
    ) -> Result<Option<SubmittedRun>, SubmitError> {
        let claimed = u32::try_from(self.claims.len()).unwrap_or(u32::MAX);
        let free = self.base.settings.workers.saturating_sub(lost_workers).saturating_sub(claimed);
        if free == 0 || self.rotation.engine().is_none() {
            return Ok(None);
        }
        let Some(claim) = self.compose_claim(lost_workers)? else { return Ok(None) };
        let Some(claim) = restrict(claim, &ready_kinds(request), free) else { return Ok(None) };
        match self.base.store.submit_and_claim(request, &claim) {
            Ok((outcome, claimed)) => {
                trace::claimed(claimed.len());
                let claimed = self.accept_claims(now, Some(&claim), claimed);
                Ok(Some(SubmittedRun { outcome, claimed }))
            }
            Err(SubmitError::Store(StoreError::CorruptRow { .. })) => Ok(None),
            Err(error) => {
                self.outbox.claim_unknown |=
                    matches!(error, SubmitError::Store(StoreError::CommitOutcomeUnknown(_)));
                Err(error)
            }
        }
    }
}

/// Returns the kinds of the run's tasks that can start at once.
fn ready_kinds(request: &Submit) -> HashSet<&Kind> {
    let is_ready = |task: &&NewTask| task.child_counts().is_none() && task.due_at().is_none();
    request.run.tasks().iter().filter(is_ready).map(NewTask::kind).collect()
}

/// Restricts a claim to these kinds and to the free workers; `None` if nothing is left of it.
fn restrict(mut claim: Claim, kinds: &HashSet<&Kind>, free: u32) -> Option<Claim> {
    claim.limit = claim.limit.min(free);
    for quota in claim.quotas.iter_mut().filter(|quota| !kinds.contains(&quota.kind)) {
        quota.limit = 0;
    }
    claim.quotas.iter().any(|quota| quota.limit > 0).then_some(claim)
}
