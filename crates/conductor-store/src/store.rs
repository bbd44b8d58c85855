//! The traits that every store implements, split by who needs them.

use crate::{
    AggregateOutcome, Append, AppendError, AppendOutcome, Cancel, CancelError, CancelOutcome, ChildFailure,
    ChildOutput, Claim, ClaimOutcome, EngineKey, EngineRegistration, EventFilter, FanOut, FanOutOutcome,
    Fence, FenceOutcome, NodeId, Page, Prune, PruneOutcome, RecordProgress, RegisterEngine, Release, Renew,
    Repair, RepairReport, ReportBatch, ReportOutcome, Rescue, Revive, ReviveError, ReviveOutcome,
    RunBlockers, Scope, Seal, SealError, Settle, SettleOutcome, Step, StepOutcome, StoreError,
    StuckThreshold, Submit, SubmitError, SubmitOutcome, SweepOutcome, TaskFilter, Verify, VerifyReport,
    WriteNotifier,
};
use conductor_model::{
    Eta, Event, Explanation, HealthReport, Kind, RetryMetrics, Run, RunId, RunSummary, StateCounts,
    StuckItem, Task, TaskId, TaskProgress, Timestamp,
};

/// The intents that change a store. Each method is one bounded transaction, which takes effect whole or not
/// at all, and survives a crash once it has returned.
pub trait Store: Send + Sync {
    /// Submits a run with its root tasks.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was written.
    fn submit(&self, request: &Submit) -> Result<SubmitOutcome, SubmitError>;

    /// Submits a run, and claims ready leaves in the same transaction, of whatever run: what is claimed of the new run was
    /// never to be had by anybody else. It claims nothing for a run that was there already.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was written, and nothing was claimed.
    fn submit_and_claim(
        &self,
        request: &Submit,
        claim: &Claim,
    ) -> Result<(SubmitOutcome, ClaimOutcome), SubmitError>;

    /// Appends children to an open fan-out.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was written.
    fn append(&self, request: &Append) -> Result<AppendOutcome, AppendError>;

    /// Makes the number of children of an open fan-out final.
    ///
    /// # Errors
    /// [`SealError`]; nothing was written.
    fn seal(&self, request: &Seal) -> Result<(), SealError>;

    /// Takes reports from outside: one answer per report, in their order.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn report(&self, request: &ReportBatch) -> Result<Vec<ReportOutcome>, StoreError>;

    /// Creates missing children, as many as there are ids.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn fan_out(&self, step: &FanOut) -> Result<FanOutOutcome, StoreError>;

    /// Decides parents and runs whose children are all settled.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn aggregate(&self, step: &Step) -> Result<AggregateOutcome, StoreError>;

    /// Makes FAILED tasks PENDING whose retry is due.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn retry(&self, step: &Step) -> Result<StepOutcome, StoreError>;

    /// Makes delayed tasks ready that are due.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn promote(&self, step: &Step) -> Result<StepOutcome, StoreError>;

    /// Cancels what is open below something that is marked: leaves at once, parents by a mark of their own.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn sweep(&self, step: &Step) -> Result<SweepOutcome, StoreError>;

    /// Marks runs whose deadline passed.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn expire(&self, step: &Step) -> Result<StepOutcome, StoreError>;

    /// Takes a place among the engines that work on this store.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn register_engine(&self, request: &RegisterEngine) -> Result<EngineRegistration, StoreError>;

    /// Claims ready leaves. The runs that have ready work take turns, so that none of them starves the others;
    /// within a run the higher priority comes first, then the older task. It costs what it claims and a few seeks,
    /// whatever else is in the store.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn claim(&self, request: &Claim) -> Result<ClaimOutcome, StoreError>;

    /// Does what can be done while nobody waits, so that no later request has to. It changes nothing that anybody could ask for.
    fn on_idle(&self) {}

    /// Renews leases: one answer per fence, in their order.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn renew(&self, request: &Renew) -> Result<Vec<FenceOutcome>, StoreError>;

    /// Records how claimed tasks ended, and claims the next ones.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn settle(&self, request: &Settle) -> Result<SettleOutcome, StoreError>;

    /// Hands claimed work back: one answer per fence, in their order.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn release(&self, request: &Release) -> Result<Vec<FenceOutcome>, StoreError>;

    /// Writes what handlers report of their progress: one answer per fence, in their order. It is no event, and nothing
    /// follows from it. A number that there is no room for becomes the largest that there is room for.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn record_progress(&self, request: &RecordProgress) -> Result<Vec<FenceOutcome>, StoreError>;

    /// Takes back claims whose lease is over or whose holder is gone.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn rescue(&self, request: &Rescue) -> Result<StepOutcome, StoreError>;
}

/// What people and tools do to what is there. Each method is one bounded transaction, which takes effect whole or not at
/// all, unless it says otherwise.
pub trait Admin: Send + Sync {
    /// Cancels a leaf, a parent with all below it, or a run.
    ///
    /// # Errors
    /// [`CancelError`]; nothing was written.
    fn cancel(&self, request: &Cancel) -> Result<CancelOutcome, CancelError>;

    /// Tries failed or cancelled leaves again: exactly their ancestors reopen.
    ///
    /// # Errors
    /// [`ReviveError`]; nothing was written.
    fn revive(&self, request: &Revive) -> Result<ReviveOutcome, ReviveError>;

    /// Removes settled runs, and gives their space back.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn prune(&self, request: &Prune) -> Result<PruneOutcome, StoreError>;

    /// Computes everything again from the events, and compares: run by run, also while others work. It only reads.
    ///
    /// # Errors
    /// [`StoreError`]
    fn verify(&self, request: &Verify) -> Result<VerifyReport, StoreError>;

    /// Mends what can be mended from the events: run by run, in as many bounded transactions as it takes, also while
    /// others work.
    ///
    /// # Errors
    /// [`StoreError`]; what was mended before it stays mended.
    fn repair(&self, request: &Repair) -> Result<RepairReport, StoreError>;
}

/// What readers ask. Every list comes in pages of at most [`MAX_PAGE`](crate::MAX_PAGE).
pub trait Query: Send + Sync {
    /// One run.
    ///
    /// # Errors
    /// [`StoreError`]
    fn run(&self, id: RunId) -> Result<Option<Run>, StoreError>;

    /// The runs in the order of their submission, after the run that a page ended with.
    ///
    /// # Errors
    /// [`StoreError`]
    fn runs(&self, after: Option<RunId>, limit: u32) -> Result<Page<Run, RunId>, StoreError>;

    /// One task.
    ///
    /// # Errors
    /// [`StoreError`]
    fn task(&self, id: TaskId) -> Result<Option<Task>, StoreError>;

    /// The tasks of a run, root tasks first, then the children of each parent by index; after the task that
    /// a page ended with.
    ///
    /// # Errors
    /// [`StoreError`]
    fn tasks(
        &self,
        run: RunId,
        filter: TaskFilter,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<Task, TaskId>, StoreError>;

    /// The children of a parent by index, after the index that a page ended with (0 from the start).
    ///
    /// # Errors
    /// [`StoreError`]
    fn children(&self, parent: TaskId, after: u32, limit: u32) -> Result<Page<Task, u32>, StoreError>;

    /// What came out of those children of a parent, or root tasks of a run, that SUCCEEDED: by index, after the index that
    /// a page ended with (0 from the start). A page may be empty and still have a next one.
    ///
    /// # Errors
    /// [`StoreError`]
    fn child_outputs(&self, of: NodeId, after: u32, limit: u32)
    -> Result<Page<ChildOutput, u32>, StoreError>;

    /// Those that did not succeed, in the same way.
    ///
    /// # Errors
    /// [`StoreError`]
    fn child_failures(
        &self,
        of: NodeId,
        after: u32,
        limit: u32,
    ) -> Result<Page<ChildFailure, u32>, StoreError>;

    /// Events in commit order, after the event that a page ended with (0 from the start). A page ends before an event that
    /// cannot be read, and the next one begins with that error.
    ///
    /// # Errors
    /// [`StoreError`]
    fn events(&self, filter: EventFilter<'_>, after: u64, limit: u32)
    -> Result<Page<Event, u64>, StoreError>;

    /// What the handler of a task last reported of its progress; `None` unless it runs and has reported something.
    ///
    /// # Errors
    /// [`StoreError`]
    fn task_progress(&self, task: TaskId) -> Result<Option<TaskProgress>, StoreError>;

    /// What handlers last reported of the running tasks of a run, the older tasks first; after the task that a page ended
    /// with.
    ///
    /// # Errors
    /// [`StoreError`]
    fn run_progress(
        &self,
        run: RunId,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<TaskProgress, TaskId>, StoreError>;

    /// How many tasks are in each state.
    ///
    /// # Errors
    /// [`StoreError`]
    fn state_counts(&self, scope: Scope) -> Result<StateCounts, StoreError>;

    /// A number that is another one after anything was written, by whomever: the poll of an idle engine. It reads
    /// next to nothing, and says nothing else; it means something only beside others of the same store value.
    ///
    /// # Errors
    /// [`StoreError`]
    fn change_token(&self) -> Result<u64, StoreError>;

    /// Somebody who sees at once what other processes write, where the system has such a one. Without one, and now and then with
    /// one, ask for the [`change_token`](Query::pulse).
    fn write_notifier(&self) -> Option<Box<dyn WriteNotifier>> {
        None
    }

    /// When time alone next gives a step something to do: a retry, a delayed start, or a lease that ends.
    ///
    /// # Errors
    /// [`StoreError`]
    fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// The kinds of leaves that are ready, at most `limit` of them.
    ///
    /// # Errors
    /// [`StoreError`]
    fn ready_kinds(&self, limit: u32) -> Result<Vec<Kind>, StoreError>;

    /// Why a run or a task is where it is at this moment, down to what it waits for; `None` if there is no such run or
    /// task. What is due by `now` is said to be so.
    ///
    /// # Errors
    /// [`StoreError`]
    fn explain(&self, subject: NodeId, now: Timestamp) -> Result<Option<Explanation>, StoreError>;

    /// Which of these claims no longer hold: they ended, were cancelled, or are somebody else's.
    ///
    /// # Errors
    /// [`StoreError`]
    fn stale_claims(&self, fences: &[Fence]) -> Result<Vec<Fence>, StoreError>;

    /// The claims that an engine holds beside those that it knows of, at most `limit` of them: for one that does not know
    /// whether a claim was committed. It reads the claims of this moment.
    ///
    /// # Errors
    /// [`StoreError`]
    fn unknown_claims(
        &self,
        engine: EngineKey,
        known: &[Fence],
        limit: u32,
    ) -> Result<Vec<Fence>, StoreError>;

    /// What the unsettled rest of a run waits for, at most `limit` of each; nothing when it is settled.
    ///
    /// # Errors
    /// [`StoreError`]
    fn run_blockers(&self, run: RunId, limit: u32) -> Result<RunBlockers, StoreError>;
}

/// What operators ask. The answers come from counters and indexes, never from reading all tasks.
pub trait Monitor: Send + Sync {
    /// How a run, or all of them, is doing.
    ///
    /// # Errors
    /// [`StoreError`]
    fn health(&self, scope: Scope, watch: StuckThreshold) -> Result<HealthReport, StoreError>;

    /// What is stuck, the longest first, at most `limit` of it.
    ///
    /// # Errors
    /// [`StoreError`]
    fn stuck(&self, scope: Scope, watch: StuckThreshold, limit: u32) -> Result<Vec<StuckItem>, StoreError>;

    /// What retries came to.
    ///
    /// # Errors
    /// [`StoreError`]
    fn retry_metrics(&self, scope: Scope) -> Result<RetryMetrics, StoreError>;

    /// How much is left of a run, and when nothing will be, by the last of its events, of which it reads a bounded number;
    /// `None` if there is no such run.
    ///
    /// # Errors
    /// [`StoreError`]
    fn eta(&self, run: RunId, now: Timestamp) -> Result<Option<Eta>, StoreError>;

    /// One run at a glance.
    ///
    /// # Errors
    /// [`StoreError`]
    fn summary(&self, run: RunId, watch: StuckThreshold) -> Result<Option<RunSummary>, StoreError>;
}
