//! The trait [`Store`], for every backend: each method opens a transaction and runs its operation.

use super::claims::{claim, lease, rescue, settle};
use super::steps::{aggregate, due, expire, fan_out, sweep};
use super::tasks::{append, report, seal, submit};
use super::tx::run;
use crate::backend::{Backend, DueKind, ReadTx, Work, WriteTx};
use crate::{
    AggregateOutcome, Append, AppendError, AppendOutcome, Claim, ClaimOutcome, EngineRegistration, FanOut,
    FanOutOutcome, FenceOutcome, RecordProgress, RegisterEngine, Release, Renew, ReportBatch, ReportOutcome,
    Rescue, Seal, SealError, Settle, SettleOutcome, Step, StepOutcome, Store, StoreError, Submit,
    SubmitError, SubmitOutcome, SweepOutcome,
};
use conductor_model::MAX_TASKS;

impl<B: Backend> Store for B {
    fn submit(&self, request: &Submit) -> Result<SubmitOutcome, SubmitError> {
        self.write(request.now, |tx| submit(tx, request))
    }

    fn submit_and_claim(
        &self,
        request: &Submit,
        next: &Claim,
    ) -> Result<(SubmitOutcome, ClaimOutcome), SubmitError> {
        self.write(request.now, |tx| {
            run(tx, request.now, |t| {
                let submitted = submit::submit(t, request)?;
                let claimed = if submitted.created { claim::claim(t, next)? } else { claim::nothing(next) };
                Ok((submitted, claimed))
            })
        })
    }

    fn append(&self, request: &Append) -> Result<AppendOutcome, AppendError> {
        append::check(request)?;
        let (Append::Items { now, .. } | Append::Tasks { now, .. }) = *request;
        self.write(now, |tx| run(tx, now, |t| append::append(t, request)))
    }

    fn seal(&self, request: &Seal) -> Result<(), SealError> {
        self.write(request.now, |tx| run(tx, request.now, |t| seal::seal(t, request)))
    }

    fn report(&self, request: &ReportBatch) -> Result<Vec<ReportOutcome>, StoreError> {
        check_batch(request.reports.len())?;
        self.write(request.now, |tx| run(tx, request.now, |t| report::report(t, request)))
    }

    fn fan_out(&self, step: &FanOut) -> Result<FanOutOutcome, StoreError> {
        if step.ids.is_empty() || !has_work(self, Work::FanOut(step.scope))? {
            return Ok(fan_out::nothing(step));
        }
        self.write(step.now, |tx| run(tx, step.now, |t| fan_out::fan_out(t, step)))
    }

    fn aggregate(&self, step: &Step) -> Result<AggregateOutcome, StoreError> {
        if !has_work(self, Work::Aggregate(step.scope))? {
            return Ok(AggregateOutcome::default());
        }
        self.write(step.now, |tx| run(tx, step.now, |t| aggregate::aggregate(t, step)))
    }

    fn retry(&self, step: &Step) -> Result<StepOutcome, StoreError> {
        if !has_work(self, Work::Due(DueKind::Retry, step.scope, step.now))? {
            return Ok(StepOutcome::default());
        }
        self.write(step.now, |tx| run(tx, step.now, |t| due::retry(t, step)))
    }

    fn promote(&self, step: &Step) -> Result<StepOutcome, StoreError> {
        if !has_work(self, Work::Due(DueKind::Start, step.scope, step.now))? {
            return Ok(StepOutcome::default());
        }
        self.write(step.now, |tx| run(tx, step.now, |t| due::promote(t, step)))
    }

    fn sweep(&self, step: &Step) -> Result<SweepOutcome, StoreError> {
        if !has_work(self, Work::Sweep(step.scope))? {
            return Ok(SweepOutcome::default());
        }
        self.write(step.now, |tx| run(tx, step.now, |t| sweep::sweep(t, step)))
    }

    fn expire(&self, step: &Step) -> Result<StepOutcome, StoreError> {
        if !has_work(self, Work::Expire(step.scope, step.now))? {
            return Ok(StepOutcome::default());
        }
        self.write(step.now, |tx| run(tx, step.now, |t| expire::expire(t, step)))
    }

    fn register_engine(&self, request: &RegisterEngine) -> Result<EngineRegistration, StoreError> {
        self.write(request.now, |tx| tx.register_engine(request))
    }

    fn claim(&self, request: &Claim) -> Result<ClaimOutcome, StoreError> {
        if !has_work(self, Work::Claim(request))? {
            return Ok(claim::nothing(request));
        }
        self.write(request.now, |tx| run(tx, request.now, |t| claim::claim(t, request)))
    }

    fn on_idle(&self) {
        Backend::on_idle(self);
    }

    fn renew(&self, request: &Renew) -> Result<Vec<FenceOutcome>, StoreError> {
        check_batch(request.fences.len())?;
        self.write(request.now, |tx| run(tx, request.now, |t| lease::renew(t, request)))
    }

    fn settle(&self, request: &Settle) -> Result<SettleOutcome, StoreError> {
        let succeeded = request.succeeded.iter().map(|set| set.offsets.len() as usize).sum::<usize>();
        check_batch(request.results.len().saturating_add(succeeded))?;
        if request.results.is_empty() && request.succeeded.is_empty() {
            let claimed = request.claim.as_ref().map(|next| self.claim(next)).transpose()?;
            return Ok(SettleOutcome { claimed: claimed.unwrap_or_default(), ..SettleOutcome::default() });
        }
        self.write(request.now, |tx| {
            run(tx, request.now, |t| {
                let (results, succeeded) = settle::settle(t, request)?;
                let claimed = match &request.claim {
                    Some(next) => claim::claim(t, next)?,
                    None => ClaimOutcome::default(),
                };
                Ok(SettleOutcome { results, succeeded, claimed })
            })
        })
    }

    fn release(&self, request: &Release) -> Result<Vec<FenceOutcome>, StoreError> {
        check_batch(request.fences.len())?;
        self.write(request.now, |tx| run(tx, request.now, |t| lease::release(t, request)))
    }

    fn record_progress(&self, request: &RecordProgress) -> Result<Vec<FenceOutcome>, StoreError> {
        check_batch(request.items.len())?;
        if request.items.is_empty() {
            return Ok(Vec::new());
        }
        self.write(request.now, |tx| run(tx, request.now, |t| lease::record_progress(t, request)))
    }

    fn rescue(&self, request: &Rescue) -> Result<StepOutcome, StoreError> {
        if !has_work(self, Work::LostClaims(request.now))? {
            return Ok(StepOutcome::default());
        }
        self.write(request.now, |tx| run(tx, request.now, |t| rescue::rescue(t, request)))
    }
}

/// Submits a run inside a transaction that the caller commits.
pub(crate) fn submit(tx: &mut dyn WriteTx, request: &Submit) -> Result<SubmitOutcome, SubmitError> {
    run(tx, request.now, |t| submit::submit(t, request))
}

/// Checks the size of a request before a transaction begins.
fn check_batch(len: usize) -> Result<(), StoreError> {
    if len > MAX_TASKS { Err(StoreError::BatchTooLarge { len, max: MAX_TASKS }) } else { Ok(()) }
}

/// Whether a step has something to do: an idle step begins no transaction, and writes nothing.
fn has_work<B: Backend>(backend: &B, work: Work<'_>) -> Result<bool, StoreError> {
    backend.peek(|tx| tx.has_work(&work))
}
