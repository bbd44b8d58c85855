//! The traits that every store implements, split by who needs them.

use crate::{
    Aggregated, Append, AppendError, Appended, Cancel, CancelError, Cancelled, ChildFailure, ChildOutput,
    Claim, Claimed, Enlist, EventFilter, Expired, FanOut, FannedOut, Fault, Fence, Fenced, Holder, Lookout,
    Page, ParentId, Presence, Progressed, Promoted, Prune, Pruned, Release, Renew, Repair, Repaired,
    Reported, Reports, Rescue, Rescued, Retried, Revive, ReviveError, Revived, Scope, Seal, SealError,
    Settle, Settled, Step, Submit, SubmitError, Submitted, Swept, TaskFilter, Verified, Verify, Waits, Watch,
};
use conductor_model::{
    Eta, Event, Explanation, HealthReport, Kind, RetryMetrics, Run, RunId, RunSummary, Stuck, Tally, Task,
    TaskId, TaskProgress, Timestamp,
};

/// The intents that change a store. Each method is one bounded transaction, which takes effect whole or not
/// at all, and survives a crash once it has returned.
pub trait Store: Send + Sync {
    /// Submits a run with its root tasks.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was written.
    fn submit(&self, request: &Submit) -> Result<Submitted, SubmitError>;

    /// Submits a run, and claims ready leaves in the same transaction, of whatever run: what is claimed of the new run was
    /// never to be had by anybody else. It claims nothing for a run that was there already.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was written, and nothing was claimed.
    fn submit_and_claim(&self, request: &Submit, claim: &Claim) -> Result<(Submitted, Claimed), SubmitError>;

    /// Appends children to an open fan-out.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was written.
    fn append(&self, request: &Append) -> Result<Appended, AppendError>;

    /// Makes the number of children of an open fan-out final.
    ///
    /// # Errors
    /// [`SealError`]; nothing was written.
    fn seal(&self, request: &Seal) -> Result<(), SealError>;

    /// Takes reports from outside: one answer per report, in their order.
    ///
    /// # Errors
    /// [`Fault`]; nothing was written.
    fn report(&self, request: &Reports) -> Result<Vec<Reported>, Fault>;

    /// Creates missing children, as many as there are ids.
    ///
    /// # Errors
    /// [`Fault`]; nothing was written.
    fn fan_out(&self, step: &FanOut) -> Result<FannedOut, Fault>;

    /// Decides parents and runs whose children are all settled.
    ///
    /// # Errors
    /// [`Fault`]; nothing was written.
    fn aggregate(&self, step: &Step) -> Result<Aggregated, Fault>;

    /// Makes FAILED tasks PENDING whose retry is due.
    ///
    /// # Errors
    /// [`Fault`]; nothing was written.
    fn retry(&self, step: &Step) -> Result<Retried, Fault>;

    /// Makes delayed tasks ready that are due.
    ///
    /// # Errors
    /// [`Fault`]; nothing was written.
    fn promote(&self, step: &Step) -> Result<Promoted, Fault>;

    /// Cancels what is open below something that is marked: leaves at once, parents by a mark of their own.
    ///
    /// # Errors
    /// [`Fault`]; nothing was written.
    fn sweep(&self, step: &Step) -> Result<Swept, Fault>;

    /// Marks runs whose deadline passed.
    ///
    /// # Errors
    /// [`Fault`]; nothing was written.
    fn expire(&self, step: &Step) -> Result<Expired, Fault>;

    /// Takes a place among the engines that work on this store.
    ///
    /// # Errors
    /// [`Fault`]; nothing was written.
    fn enlist(&self, request: &Enlist) -> Result<Presence, Fault>;

    /// Claims ready leaves. The runs that have ready work take turns, so that none of them starves the others;
    /// within a run the higher priority comes first, then the older task. It costs what it claims and a few seeks,
    /// whatever else is in the store.
    ///
    /// # Errors
    /// [`Fault`]; nothing was written.
    fn claim(&self, request: &Claim) -> Result<Claimed, Fault>;

    /// Does what can be done while nobody waits, so that no later request has to. It changes nothing that anybody could ask for.
    fn rest(&self) {}

    /// Renews leases: one answer per fence, in their order.
    ///
    /// # Errors
    /// [`Fault`]; nothing was written.
    fn renew(&self, request: &Renew) -> Result<Vec<Fenced>, Fault>;

    /// Records how claimed tasks ended, and claims the next ones.
    ///
    /// # Errors
    /// [`Fault`]; nothing was written.
    fn settle(&self, request: &Settle) -> Result<Settled, Fault>;

    /// Hands claimed work back: one answer per fence, in their order.
    ///
    /// # Errors
    /// [`Fault`]; nothing was written.
    fn release(&self, request: &Release) -> Result<Vec<Fenced>, Fault>;

    /// Writes what handlers report of their progress: one answer per fence, in their order. It is no event, and nothing
    /// follows from it. A number that there is no room for becomes the largest that there is room for.
    ///
    /// # Errors
    /// [`Fault`]; nothing was written.
    fn progress(&self, request: &Progressed) -> Result<Vec<Fenced>, Fault>;

    /// Takes back claims whose lease is over or whose holder is gone.
    ///
    /// # Errors
    /// [`Fault`]; nothing was written.
    fn rescue(&self, request: &Rescue) -> Result<Rescued, Fault>;
}

/// What people and tools do to what is there. Each method is one bounded transaction, which takes effect whole or not at
/// all, unless it says otherwise.
pub trait Admin: Send + Sync {
    /// Cancels a leaf, a parent with all below it, or a run.
    ///
    /// # Errors
    /// [`CancelError`]; nothing was written.
    fn cancel(&self, request: &Cancel) -> Result<Cancelled, CancelError>;

    /// Tries failed or cancelled leaves again: exactly their ancestors reopen.
    ///
    /// # Errors
    /// [`ReviveError`]; nothing was written.
    fn revive(&self, request: &Revive) -> Result<Revived, ReviveError>;

    /// Removes settled runs, and gives their space back.
    ///
    /// # Errors
    /// [`Fault`]; nothing was written.
    fn prune(&self, request: &Prune) -> Result<Pruned, Fault>;

    /// Computes everything again from the events, and compares: run by run, also while others work. It only reads.
    ///
    /// # Errors
    /// [`Fault`]
    fn verify(&self, request: &Verify) -> Result<Verified, Fault>;

    /// Mends what can be mended from the events: run by run, in as many bounded transactions as it takes, also while
    /// others work.
    ///
    /// # Errors
    /// [`Fault`]; what was mended before it stays mended.
    fn repair(&self, request: &Repair) -> Result<Repaired, Fault>;
}

/// What readers ask. Every list comes in pages of at most [`MAX_PAGE`](crate::MAX_PAGE).
pub trait Query: Send + Sync {
    /// One run.
    ///
    /// # Errors
    /// [`Fault`]
    fn run(&self, id: RunId) -> Result<Option<Run>, Fault>;

    /// The runs in the order of their submission, after the run that a page ended with.
    ///
    /// # Errors
    /// [`Fault`]
    fn runs(&self, after: Option<RunId>, limit: u32) -> Result<Page<Run, RunId>, Fault>;

    /// One task.
    ///
    /// # Errors
    /// [`Fault`]
    fn task(&self, id: TaskId) -> Result<Option<Task>, Fault>;

    /// The tasks of a run, root tasks first, then the children of each parent by index; after the task that
    /// a page ended with.
    ///
    /// # Errors
    /// [`Fault`]
    fn tasks(
        &self,
        run: RunId,
        filter: TaskFilter,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<Task, TaskId>, Fault>;

    /// The children of a parent by index, after the index that a page ended with (0 from the start).
    ///
    /// # Errors
    /// [`Fault`]
    fn children(&self, parent: TaskId, after: u32, limit: u32) -> Result<Page<Task, u32>, Fault>;

    /// What came out of those children of a parent, or root tasks of a run, that SUCCEEDED: by index, after the index that
    /// a page ended with (0 from the start). A page may be empty and still have a next one.
    ///
    /// # Errors
    /// [`Fault`]
    fn outputs(&self, of: ParentId, after: u32, limit: u32) -> Result<Page<ChildOutput, u32>, Fault>;

    /// Those that did not succeed, in the same way.
    ///
    /// # Errors
    /// [`Fault`]
    fn failures(&self, of: ParentId, after: u32, limit: u32) -> Result<Page<ChildFailure, u32>, Fault>;

    /// Events in commit order, after the event that a page ended with (0 from the start). A page ends before an event that
    /// cannot be read, and the next one begins with that error.
    ///
    /// # Errors
    /// [`Fault`]
    fn events(&self, filter: EventFilter<'_>, after: u64, limit: u32) -> Result<Page<Event, u64>, Fault>;

    /// What the handler of a task last reported of its progress; `None` unless it runs and has reported something.
    ///
    /// # Errors
    /// [`Fault`]
    fn progress_of(&self, task: TaskId) -> Result<Option<TaskProgress>, Fault>;

    /// What handlers last reported of the running tasks of a run, the older tasks first; after the task that a page ended
    /// with.
    ///
    /// # Errors
    /// [`Fault`]
    fn progress_in(
        &self,
        run: RunId,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<TaskProgress, TaskId>, Fault>;

    /// How many tasks are in each state.
    ///
    /// # Errors
    /// [`Fault`]
    fn tally(&self, scope: Scope) -> Result<Tally, Fault>;

    /// A number that is another one after anything was written, by whomever: the poll of an idle engine. It reads
    /// next to nothing, and says nothing else; it means something only beside others of the same store value.
    ///
    /// # Errors
    /// [`Fault`]
    fn pulse(&self) -> Result<u64, Fault>;

    /// Somebody who sees at once what other processes write, where the system has such a one. Without one, and now and then with
    /// one, ask for the [`pulse`](Query::pulse).
    fn lookout(&self) -> Option<Box<dyn Lookout>> {
        None
    }

    /// When time alone next gives a step something to do: a retry, a delayed start, or a lease that ends.
    ///
    /// # Errors
    /// [`Fault`]
    fn next_due(&self) -> Result<Option<Timestamp>, Fault>;

    /// The kinds of leaves that are ready, at most `limit` of them.
    ///
    /// # Errors
    /// [`Fault`]
    fn ready_kinds(&self, limit: u32) -> Result<Vec<Kind>, Fault>;

    /// Why a run or a task is where it is at this moment, down to what it waits for; `None` if there is no such run or
    /// task. What is due by `now` is said to be so.
    ///
    /// # Errors
    /// [`Fault`]
    fn explain(&self, subject: ParentId, now: Timestamp) -> Result<Option<Explanation>, Fault>;

    /// Which of these claims no longer hold: they ended, were cancelled, or are somebody else's.
    ///
    /// # Errors
    /// [`Fault`]
    fn lost(&self, fences: &[Fence]) -> Result<Vec<Fence>, Fault>;

    /// The claims that an engine holds beside those that it knows of, at most `limit` of them: for one that does not know
    /// whether a claim was committed. It reads the claims of this moment.
    ///
    /// # Errors
    /// [`Fault`]
    fn held(&self, holder: Holder, known: &[Fence], limit: u32) -> Result<Vec<Fence>, Fault>;

    /// What the unsettled rest of a run waits for, at most `limit` of each; nothing when it is settled.
    ///
    /// # Errors
    /// [`Fault`]
    fn waits(&self, run: RunId, limit: u32) -> Result<Waits, Fault>;
}

/// What operators ask. The answers come from counters and indexes, never from reading all tasks.
pub trait Monitor: Send + Sync {
    /// How a run, or all of them, is doing.
    ///
    /// # Errors
    /// [`Fault`]
    fn health(&self, scope: Scope, watch: Watch) -> Result<HealthReport, Fault>;

    /// What is stuck, the longest first, at most `limit` of it.
    ///
    /// # Errors
    /// [`Fault`]
    fn stuck(&self, scope: Scope, watch: Watch, limit: u32) -> Result<Vec<Stuck>, Fault>;

    /// What retries came to.
    ///
    /// # Errors
    /// [`Fault`]
    fn retry_metrics(&self, scope: Scope) -> Result<RetryMetrics, Fault>;

    /// How much is left of a run, and when nothing will be, by the last of its events, of which it reads a bounded number;
    /// `None` if there is no such run.
    ///
    /// # Errors
    /// [`Fault`]
    fn eta(&self, run: RunId, now: Timestamp) -> Result<Option<Eta>, Fault>;

    /// One run at a glance.
    ///
    /// # Errors
    /// [`Fault`]
    fn summary(&self, run: RunId, watch: Watch) -> Result<Option<RunSummary>, Fault>;
}
