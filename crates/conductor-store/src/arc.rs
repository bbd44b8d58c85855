//! A store that several parts of a program share is a store.

use crate::{
    Admin, AggregateOutcome, Append, AppendError, AppendOutcome, Cancel, CancelError, CancelOutcome,
    ChildFailure, ChildOutput, Claim, ClaimOutcome, EngineKey, EngineRegistration, EventFilter, FanOut,
    FanOutOutcome, Fence, FenceOutcome, Monitor, NodeId, Page, Prune, PruneOutcome, Query, RecordProgress,
    RegisterEngine, Release, Renew, Repair, RepairReport, ReportBatch, ReportOutcome, Rescue, Revive,
    ReviveError, ReviveOutcome, RunBlockers, Scope, Seal, SealError, Settle, SettleOutcome, Step,
    StepOutcome, Store, StoreError, StuckThreshold, Submit, SubmitError, SubmitOutcome, SweepOutcome,
    TaskFilter, Verify, VerifyReport, WriteNotifier,
};
use conductor_model::{
    Eta, Event, Explanation, HealthReport, Kind, RetryMetrics, Run, RunId, RunSummary, StateCounts,
    StuckItem, Task, TaskId, TaskProgress, Timestamp,
};
use std::sync::Arc;

impl<S: Store + ?Sized> Store for Arc<S> {
    fn submit(&self, request: &Submit) -> Result<SubmitOutcome, SubmitError> {
        (**self).submit(request)
    }

    fn submit_and_claim(
        &self,
        request: &Submit,
        claim: &Claim,
    ) -> Result<(SubmitOutcome, ClaimOutcome), SubmitError> {
        (**self).submit_and_claim(request, claim)
    }

    fn append(&self, request: &Append) -> Result<AppendOutcome, AppendError> {
        (**self).append(request)
    }

    fn seal(&self, request: &Seal) -> Result<(), SealError> {
        (**self).seal(request)
    }

    fn report(&self, request: &ReportBatch) -> Result<Vec<ReportOutcome>, StoreError> {
        (**self).report(request)
    }

    fn fan_out(&self, step: &FanOut) -> Result<FanOutOutcome, StoreError> {
        (**self).fan_out(step)
    }

    fn aggregate(&self, step: &Step) -> Result<AggregateOutcome, StoreError> {
        (**self).aggregate(step)
    }

    fn retry(&self, step: &Step) -> Result<StepOutcome, StoreError> {
        (**self).retry(step)
    }

    fn promote(&self, step: &Step) -> Result<StepOutcome, StoreError> {
        (**self).promote(step)
    }

    fn sweep(&self, step: &Step) -> Result<SweepOutcome, StoreError> {
        (**self).sweep(step)
    }

    fn expire(&self, step: &Step) -> Result<StepOutcome, StoreError> {
        (**self).expire(step)
    }

    fn register_engine(&self, request: &RegisterEngine) -> Result<EngineRegistration, StoreError> {
        (**self).register_engine(request)
    }

    fn claim(&self, request: &Claim) -> Result<ClaimOutcome, StoreError> {
        (**self).claim(request)
    }

    fn on_idle(&self) {
        (**self).on_idle();
    }

    fn renew(&self, request: &Renew) -> Result<Vec<FenceOutcome>, StoreError> {
        (**self).renew(request)
    }

    fn settle(&self, request: &Settle) -> Result<SettleOutcome, StoreError> {
        (**self).settle(request)
    }

    fn release(&self, request: &Release) -> Result<Vec<FenceOutcome>, StoreError> {
        (**self).release(request)
    }

    fn record_progress(&self, request: &RecordProgress) -> Result<Vec<FenceOutcome>, StoreError> {
        (**self).record_progress(request)
    }

    fn rescue(&self, request: &Rescue) -> Result<StepOutcome, StoreError> {
        (**self).rescue(request)
    }
}

impl<S: Admin + ?Sized> Admin for Arc<S> {
    fn cancel(&self, request: &Cancel) -> Result<CancelOutcome, CancelError> {
        (**self).cancel(request)
    }

    fn revive(&self, request: &Revive) -> Result<ReviveOutcome, ReviveError> {
        (**self).revive(request)
    }

    fn prune(&self, request: &Prune) -> Result<PruneOutcome, StoreError> {
        (**self).prune(request)
    }

    fn verify(&self, request: &Verify) -> Result<VerifyReport, StoreError> {
        (**self).verify(request)
    }

    fn repair(&self, request: &Repair) -> Result<RepairReport, StoreError> {
        (**self).repair(request)
    }
}

impl<S: Query + ?Sized> Query for Arc<S> {
    fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        (**self).run(id)
    }

    fn runs(&self, after: Option<RunId>, limit: u32) -> Result<Page<Run, RunId>, StoreError> {
        (**self).runs(after, limit)
    }

    fn task(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        (**self).task(id)
    }

    fn tasks(
        &self,
        run: RunId,
        filter: TaskFilter,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<Task, TaskId>, StoreError> {
        (**self).tasks(run, filter, after, limit)
    }

    fn children(&self, parent: TaskId, after: u32, limit: u32) -> Result<Page<Task, u32>, StoreError> {
        (**self).children(parent, after, limit)
    }

    fn child_outputs(
        &self,
        of: NodeId,
        after: u32,
        limit: u32,
    ) -> Result<Page<ChildOutput, u32>, StoreError> {
        (**self).child_outputs(of, after, limit)
    }

    fn child_failures(
        &self,
        of: NodeId,
        after: u32,
        limit: u32,
    ) -> Result<Page<ChildFailure, u32>, StoreError> {
        (**self).child_failures(of, after, limit)
    }

    fn events(
        &self,
        filter: EventFilter<'_>,
        after: u64,
        limit: u32,
    ) -> Result<Page<Event, u64>, StoreError> {
        (**self).events(filter, after, limit)
    }

    fn task_progress(&self, task: TaskId) -> Result<Option<TaskProgress>, StoreError> {
        (**self).task_progress(task)
    }

    fn run_progress(
        &self,
        run: RunId,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<TaskProgress, TaskId>, StoreError> {
        (**self).run_progress(run, after, limit)
    }

    fn state_counts(&self, scope: Scope) -> Result<StateCounts, StoreError> {
        (**self).state_counts(scope)
    }

    fn change_token(&self) -> Result<u64, StoreError> {
        (**self).change_token()
    }

    fn write_notifier(&self) -> Option<Box<dyn WriteNotifier>> {
        (**self).write_notifier()
    }

    fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        (**self).next_due()
    }

    fn ready_kinds(&self, limit: u32) -> Result<Vec<Kind>, StoreError> {
        (**self).ready_kinds(limit)
    }

    fn explain(&self, subject: NodeId, now: Timestamp) -> Result<Option<Explanation>, StoreError> {
        (**self).explain(subject, now)
    }

    fn stale_claims(&self, fences: &[Fence]) -> Result<Vec<Fence>, StoreError> {
        (**self).stale_claims(fences)
    }

    fn unknown_claims(
        &self,
        holder: EngineKey,
        known: &[Fence],
        limit: u32,
    ) -> Result<Vec<Fence>, StoreError> {
        (**self).unknown_claims(holder, known, limit)
    }

    fn run_blockers(&self, run: RunId, limit: u32) -> Result<RunBlockers, StoreError> {
        (**self).run_blockers(run, limit)
    }
}

impl<S: Monitor + ?Sized> Monitor for Arc<S> {
    fn health(&self, scope: Scope, watch: StuckThreshold) -> Result<HealthReport, StoreError> {
        (**self).health(scope, watch)
    }

    fn stuck(&self, scope: Scope, watch: StuckThreshold, limit: u32) -> Result<Vec<StuckItem>, StoreError> {
        (**self).stuck(scope, watch, limit)
    }

    fn retry_metrics(&self, scope: Scope) -> Result<RetryMetrics, StoreError> {
        (**self).retry_metrics(scope)
    }

    fn eta(&self, run: RunId, now: Timestamp) -> Result<Option<Eta>, StoreError> {
        (**self).eta(run, now)
    }

    fn summary(&self, run: RunId, watch: StuckThreshold) -> Result<Option<RunSummary>, StoreError> {
        (**self).summary(run, watch)
    }
}
