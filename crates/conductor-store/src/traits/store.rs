//! Changes the work of a store.

use crate::{
    AggregateOutcome, Append, AppendError, AppendOutcome, Claim, ClaimOutcome, EngineRegistration, FanOut,
    FanOutOutcome, FenceOutcome, RecordProgress, RegisterEngine, Release, Renew, ReportBatch, ReportOutcome,
    Rescue, Seal, SealError, Settle, SettleOutcome, Step, StepOutcome, StoreError, Submit, SubmitError,
    SubmitOutcome, SweepOutcome,
};

/// The requests of callers and engines that change a store.
///
/// Each method is one bounded transaction. It takes effect completely or not at all. Once it has returned, its effect
/// survives a crash.
///
/// A [`Step`] and its relatives stop at their limit. The field `more` of their outcome says whether another step may find
/// work: see [`StepOutcome::more`].
pub trait Store: Send + Sync {
    /// Creates a run with its root tasks.
    ///
    /// If a run with the same idempotency key and the same draft exists, it returns that run.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was written: the key belongs to another draft, an id of the caller exists already, or the
    /// store failed.
    fn submit(&self, request: &Submit) -> Result<SubmitOutcome, SubmitError>;

    /// Creates a run, and claims ready leaves in the same transaction.
    ///
    /// The claimed leaves may belong to any run. No other engine can claim a leaf of the new run before this one. If the run
    /// existed already, nothing is claimed.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was written, and nothing was claimed.
    fn submit_and_claim(
        &self,
        request: &Submit,
        claim: &Claim,
    ) -> Result<(SubmitOutcome, ClaimOutcome), SubmitError>;

    /// Adds children to an open fan-out, at most [`MAX_TASKS`](conductor_model::MAX_TASKS) (100,000) in one request.
    ///
    /// Items at existing indices are skipped, and not compared with the existing children.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was written.
    fn append(&self, request: &Append) -> Result<AppendOutcome, AppendError>;

    /// Makes the number of children of an open fan-out final.
    ///
    /// # Errors
    /// [`SealError`]; nothing was written.
    fn seal(&self, request: &Seal) -> Result<(), SealError>;

    /// Applies reports about tasks that run outside an engine. Returns one outcome per report, in their order.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written. [`StoreError::BatchTooLarge`] for more than 100,000 reports.
    fn report(&self, request: &ReportBatch) -> Result<Vec<ReportOutcome>, StoreError>;

    /// Creates missing children of parents, at most as many as the step has ids.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn fan_out(&self, step: &FanOut) -> Result<FanOutOutcome, StoreError>;

    /// Decides parents and runs whose children are all settled: settles them, or starts their joins.
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

    /// Cancels open tasks below parents and runs that are being cancelled.
    ///
    /// Leaves are cancelled at once. Parents get a cancel cause, and a later sweep cancels their children.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn sweep(&self, step: &Step) -> Result<SweepOutcome, StoreError>;

    /// Requests the cancellation of runs whose deadline has passed.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn expire(&self, step: &Step) -> Result<StepOutcome, StoreError>;

    /// Registers an engine, so that it can claim tasks. The registration ends when the returned value is dropped.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn register_engine(&self, request: &RegisterEngine) -> Result<EngineRegistration, StoreError>;

    /// Claims ready leaves.
    ///
    /// Runs with ready leaves are served round-robin. Within a run, leaves of a higher priority come first, then older leaves.
    /// The cost depends on the number of claimed leaves, and not on the size of the store.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn claim(&self, request: &Claim) -> Result<ClaimOutcome, StoreError>;

    /// Does maintenance while the engine is idle. On SQLite this is a checkpoint of the write-ahead log. It has no visible
    /// effect. Default: does nothing.
    fn on_idle(&self) {}

    /// Renews leases. Returns one outcome per fence, in their order.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn renew(&self, request: &Renew) -> Result<Vec<FenceOutcome>, StoreError>;

    /// Records the results of claimed tasks, and claims the next ones in the same transaction.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn settle(&self, request: &Settle) -> Result<SettleOutcome, StoreError>;

    /// Releases claims. Returns one outcome per fence, in their order.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn release(&self, request: &Release) -> Result<Vec<FenceOutcome>, StoreError>;

    /// Stores the progress that handlers report. Returns one outcome per fence, in their order.
    ///
    /// Progress is not an event, and nothing follows from it. A number that is too large for the store is replaced by the
    /// largest possible one.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn record_progress(&self, request: &RecordProgress) -> Result<Vec<FenceOutcome>, StoreError>;

    /// Fails the attempts whose lease has expired or whose engine is gone.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn rescue(&self, request: &Rescue) -> Result<StepOutcome, StoreError>;
}
