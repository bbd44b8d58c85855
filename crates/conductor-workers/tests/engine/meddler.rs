//! A store that something happens to: calls are counted, held up, or fail.

use conductor_model::{
    Eta, Event, Explanation, HealthReport, Kind, RetryMetrics, Run, RunId, RunSummary, StateCounts,
    StuckItem, Task, TaskId, TaskProgress, Timestamp,
};
use conductor_store::*;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// What happens to a call.
pub(crate) enum Meddling {
    /// Nothing.
    Pass,
    /// It fails, and nothing is done.
    Fail(StoreError),
    /// It is done, and fails all the same.
    FailAfter(StoreError),
}

type Meddle = Box<dyn Fn(&'static str) -> Meddling + Send + Sync>;

/// A store around another one, which asks before each call, by the name of the method.
pub(crate) struct Meddler {
    inner: Arc<SqliteStore>,
    meddle: Meddle,
    calls: Mutex<HashMap<&'static str, u64>>,
}

pub(crate) fn busy() -> StoreError {
    StoreError::Busy("somebody else writes".into())
}

pub(crate) fn commit_unknown() -> StoreError {
    StoreError::CommitOutcomeUnknown("the disk said nothing".into())
}

pub(crate) fn unreadable() -> StoreError {
    StoreError::CorruptRow { row: "task 7".into(), reason: "somebody wrote into it".into() }
}

impl Meddler {
    pub(crate) fn new(
        inner: &Arc<SqliteStore>,
        meddle: impl Fn(&'static str) -> Meddling + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (inner, meddle) = (Arc::clone(inner), Box::new(meddle));
        Arc::new(Self { inner, meddle, calls: Mutex::default() })
    }

    /// How often a method was called.
    pub(crate) fn calls(&self, method: &str) -> u64 {
        self.calls.lock().unwrap().get(method).copied().unwrap_or(0)
    }

    /// How often any method was called.
    pub(crate) fn all_calls(&self) -> u64 {
        self.calls.lock().unwrap().values().sum()
    }

    fn through<T, E: From<StoreError>>(
        &self,
        method: &'static str,
        call: impl FnOnce(&SqliteStore) -> Result<T, E>,
    ) -> Result<T, E> {
        *self.calls.lock().unwrap().entry(method).or_default() += 1;
        match (self.meddle)(method) {
            Meddling::Pass => call(&self.inner),
            Meddling::Fail(fault) => Err(fault.into()),
            Meddling::FailAfter(fault) => call(&self.inner).and(Err(fault.into())),
        }
    }
}

impl Store for Meddler {
    fn submit(&self, request: &Submit) -> Result<SubmitOutcome, SubmitError> {
        self.through("submit", |store| store.submit(request))
    }

    fn submit_and_claim(
        &self,
        request: &Submit,
        claim: &Claim,
    ) -> Result<(SubmitOutcome, ClaimOutcome), SubmitError> {
        self.through("submit_and_claim", |store| store.submit_and_claim(request, claim))
    }

    fn append(&self, request: &Append) -> Result<AppendOutcome, AppendError> {
        self.through("append", |store| store.append(request))
    }

    fn seal(&self, request: &Seal) -> Result<(), SealError> {
        self.through("seal", |store| store.seal(request))
    }

    fn report(&self, request: &ReportBatch) -> Result<Vec<ReportOutcome>, StoreError> {
        self.through("report", |store| store.report(request))
    }

    fn fan_out(&self, step: &FanOut) -> Result<FanOutOutcome, StoreError> {
        self.through("fan_out", |store| store.fan_out(step))
    }

    fn aggregate(&self, step: &Step) -> Result<AggregateOutcome, StoreError> {
        self.through("aggregate", |store| store.aggregate(step))
    }

    fn retry(&self, step: &Step) -> Result<StepOutcome, StoreError> {
        self.through("retry", |store| store.retry(step))
    }

    fn promote(&self, step: &Step) -> Result<StepOutcome, StoreError> {
        self.through("promote", |store| store.promote(step))
    }

    fn sweep(&self, step: &Step) -> Result<SweepOutcome, StoreError> {
        self.through("sweep", |store| store.sweep(step))
    }

    fn expire(&self, step: &Step) -> Result<StepOutcome, StoreError> {
        self.through("expire", |store| store.expire(step))
    }

    fn register_engine(&self, request: &RegisterEngine) -> Result<EngineRegistration, StoreError> {
        self.through("enlist", |store| store.register_engine(request))
    }

    fn claim(&self, request: &Claim) -> Result<ClaimOutcome, StoreError> {
        self.through("claim", |store| store.claim(request))
    }

    fn renew(&self, request: &Renew) -> Result<Vec<FenceOutcome>, StoreError> {
        self.through("renew", |store| store.renew(request))
    }

    fn settle(&self, request: &Settle) -> Result<SettleOutcome, StoreError> {
        self.through("settle", |store| store.settle(request))
    }

    fn release(&self, request: &Release) -> Result<Vec<FenceOutcome>, StoreError> {
        self.through("release", |store| store.release(request))
    }

    fn record_progress(&self, request: &RecordProgress) -> Result<Vec<FenceOutcome>, StoreError> {
        self.through("record_progress", |store| store.record_progress(request))
    }

    fn rescue(&self, request: &Rescue) -> Result<StepOutcome, StoreError> {
        self.through("rescue", |store| store.rescue(request))
    }
}

impl Admin for Meddler {
    fn cancel(&self, request: &Cancel) -> Result<CancelOutcome, CancelError> {
        self.through("cancel", |store| store.cancel(request))
    }

    fn revive(&self, request: &Revive) -> Result<ReviveOutcome, ReviveError> {
        self.through("revive", |store| store.revive(request))
    }

    fn prune(&self, request: &Prune) -> Result<PruneOutcome, StoreError> {
        self.through("prune", |store| store.prune(request))
    }

    fn verify(&self, request: &Verify) -> Result<VerifyReport, StoreError> {
        self.through("verify", |store| store.verify(request))
    }

    fn repair(&self, request: &Repair) -> Result<RepairReport, StoreError> {
        self.through("repair", |store| store.repair(request))
    }
}

impl Monitor for Meddler {
    fn health(&self, scope: Scope, threshold: StuckThreshold) -> Result<HealthReport, StoreError> {
        self.through("health", |store| store.health(scope, threshold))
    }

    fn stuck(
        &self,
        scope: Scope,
        threshold: StuckThreshold,
        limit: u32,
    ) -> Result<Vec<StuckItem>, StoreError> {
        self.through("stuck", |store| store.stuck(scope, threshold, limit))
    }

    fn retry_metrics(&self, scope: Scope) -> Result<RetryMetrics, StoreError> {
        self.through("retry_metrics", |store| store.retry_metrics(scope))
    }

    fn eta(&self, run: RunId, now: Timestamp) -> Result<Option<Eta>, StoreError> {
        self.through("eta", |store| store.eta(run, now))
    }

    fn summary(&self, run: RunId, threshold: StuckThreshold) -> Result<Option<RunSummary>, StoreError> {
        self.through("summary", |store| store.summary(run, threshold))
    }
}

impl Query for Meddler {
    fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        self.through("run", |store| store.run(id))
    }

    fn runs(&self, after: Option<RunId>, limit: u32) -> Result<Page<Run, RunId>, StoreError> {
        self.through("runs", |store| store.runs(after, limit))
    }

    fn task(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.through("task", |store| store.task(id))
    }

    fn tasks(
        &self,
        run: RunId,
        filter: TaskFilter,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<Task, TaskId>, StoreError> {
        self.through("tasks", |store| store.tasks(run, filter, after, limit))
    }

    fn children(&self, parent: TaskId, after: u32, limit: u32) -> Result<Page<Task, u32>, StoreError> {
        self.through("children", |store| store.children(parent, after, limit))
    }

    fn child_outputs(
        &self,
        of: NodeId,
        after: u32,
        limit: u32,
    ) -> Result<Page<ChildOutput, u32>, StoreError> {
        self.through("child_outputs", |store| store.child_outputs(of, after, limit))
    }

    fn child_failures(
        &self,
        of: NodeId,
        after: u32,
        limit: u32,
    ) -> Result<Page<ChildFailure, u32>, StoreError> {
        self.through("child_failures", |store| store.child_failures(of, after, limit))
    }

    fn events(
        &self,
        filter: EventFilter<'_>,
        after: u64,
        limit: u32,
    ) -> Result<Page<Event, u64>, StoreError> {
        self.through("events", |store| store.events(filter, after, limit))
    }

    fn task_progress(&self, task: TaskId) -> Result<Option<TaskProgress>, StoreError> {
        self.through("progress_of", |store| store.task_progress(task))
    }

    fn run_progress(
        &self,
        run: RunId,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<TaskProgress, TaskId>, StoreError> {
        self.through("progress_in", |store| store.run_progress(run, after, limit))
    }

    fn state_counts(&self, scope: Scope) -> Result<StateCounts, StoreError> {
        self.through("state_counts", |store| store.state_counts(scope))
    }

    fn change_token(&self) -> Result<u64, StoreError> {
        self.through("pulse", SqliteStore::change_token)
    }

    fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.through("next_due", SqliteStore::next_due)
    }

    fn ready_kinds(&self, limit: u32) -> Result<Vec<Kind>, StoreError> {
        self.through("ready_kinds", |store| store.ready_kinds(limit))
    }

    fn explain(&self, subject: NodeId, now: Timestamp) -> Result<Option<Explanation>, StoreError> {
        self.through("explain", |store| store.explain(subject, now))
    }

    fn stale_claims(&self, fences: &[Fence]) -> Result<Vec<Fence>, StoreError> {
        self.through("stale_claims", |store| store.stale_claims(fences))
    }

    fn unknown_claims(
        &self,
        holder: EngineKey,
        known: &[Fence],
        limit: u32,
    ) -> Result<Vec<Fence>, StoreError> {
        self.through("unknown_claims", |store| store.unknown_claims(holder, known, limit))
    }

    fn run_blockers(&self, run: RunId, limit: u32) -> Result<RunBlockers, StoreError> {
        self.through("run_blockers", |store| store.run_blockers(run, limit))
    }
}
