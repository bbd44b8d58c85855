//! A store that several parts of a program share is a store.

use crate::{
    Admin, Aggregated, Append, AppendError, Appended, Cancel, CancelError, Cancelled, ChildFailure,
    ChildOutput, Claim, Claimed, Enlist, EventFilter, Expired, FanOut, FannedOut, Fault, Fence, Fenced,
    Holder, Lookout, Monitor, Page, ParentId, Presence, Progressed, Promoted, Prune, Pruned, Query, Release,
    Renew, Repair, Repaired, Reported, Reports, Rescue, Rescued, Retried, Revive, ReviveError, Revived,
    Scope, Seal, SealError, Settle, Settled, Step, Store, Submit, SubmitError, Submitted, Swept, TaskFilter,
    Verified, Verify, Waits, Watch,
};
use conductor_model::{
    Eta, Event, Explanation, HealthReport, Kind, RetryMetrics, Run, RunId, RunSummary, Stuck, Tally, Task,
    TaskId, TaskProgress, Timestamp,
};
use std::sync::Arc;

impl<S: Store + ?Sized> Store for Arc<S> {
    fn submit(&self, request: &Submit) -> Result<Submitted, SubmitError> {
        (**self).submit(request)
    }

    fn submit_and_claim(&self, request: &Submit, claim: &Claim) -> Result<(Submitted, Claimed), SubmitError> {
        (**self).submit_and_claim(request, claim)
    }

    fn append(&self, request: &Append) -> Result<Appended, AppendError> {
        (**self).append(request)
    }

    fn seal(&self, request: &Seal) -> Result<(), SealError> {
        (**self).seal(request)
    }

    fn report(&self, request: &Reports) -> Result<Vec<Reported>, Fault> {
        (**self).report(request)
    }

    fn fan_out(&self, step: &FanOut) -> Result<FannedOut, Fault> {
        (**self).fan_out(step)
    }

    fn aggregate(&self, step: &Step) -> Result<Aggregated, Fault> {
        (**self).aggregate(step)
    }

    fn retry(&self, step: &Step) -> Result<Retried, Fault> {
        (**self).retry(step)
    }

    fn promote(&self, step: &Step) -> Result<Promoted, Fault> {
        (**self).promote(step)
    }

    fn sweep(&self, step: &Step) -> Result<Swept, Fault> {
        (**self).sweep(step)
    }

    fn expire(&self, step: &Step) -> Result<Expired, Fault> {
        (**self).expire(step)
    }

    fn enlist(&self, request: &Enlist) -> Result<Presence, Fault> {
        (**self).enlist(request)
    }

    fn claim(&self, request: &Claim) -> Result<Claimed, Fault> {
        (**self).claim(request)
    }

    fn rest(&self) {
        (**self).rest();
    }

    fn renew(&self, request: &Renew) -> Result<Vec<Fenced>, Fault> {
        (**self).renew(request)
    }

    fn settle(&self, request: &Settle) -> Result<Settled, Fault> {
        (**self).settle(request)
    }

    fn release(&self, request: &Release) -> Result<Vec<Fenced>, Fault> {
        (**self).release(request)
    }

    fn progress(&self, request: &Progressed) -> Result<Vec<Fenced>, Fault> {
        (**self).progress(request)
    }

    fn rescue(&self, request: &Rescue) -> Result<Rescued, Fault> {
        (**self).rescue(request)
    }
}

impl<S: Admin + ?Sized> Admin for Arc<S> {
    fn cancel(&self, request: &Cancel) -> Result<Cancelled, CancelError> {
        (**self).cancel(request)
    }

    fn revive(&self, request: &Revive) -> Result<Revived, ReviveError> {
        (**self).revive(request)
    }

    fn prune(&self, request: &Prune) -> Result<Pruned, Fault> {
        (**self).prune(request)
    }

    fn verify(&self, request: &Verify) -> Result<Verified, Fault> {
        (**self).verify(request)
    }

    fn repair(&self, request: &Repair) -> Result<Repaired, Fault> {
        (**self).repair(request)
    }
}

impl<S: Query + ?Sized> Query for Arc<S> {
    fn run(&self, id: RunId) -> Result<Option<Run>, Fault> {
        (**self).run(id)
    }

    fn runs(&self, after: Option<RunId>, limit: u32) -> Result<Page<Run, RunId>, Fault> {
        (**self).runs(after, limit)
    }

    fn task(&self, id: TaskId) -> Result<Option<Task>, Fault> {
        (**self).task(id)
    }

    fn tasks(
        &self,
        run: RunId,
        filter: TaskFilter,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<Task, TaskId>, Fault> {
        (**self).tasks(run, filter, after, limit)
    }

    fn children(&self, parent: TaskId, after: u32, limit: u32) -> Result<Page<Task, u32>, Fault> {
        (**self).children(parent, after, limit)
    }

    fn outputs(&self, of: ParentId, after: u32, limit: u32) -> Result<Page<ChildOutput, u32>, Fault> {
        (**self).outputs(of, after, limit)
    }

    fn failures(&self, of: ParentId, after: u32, limit: u32) -> Result<Page<ChildFailure, u32>, Fault> {
        (**self).failures(of, after, limit)
    }

    fn events(&self, filter: EventFilter<'_>, after: u64, limit: u32) -> Result<Page<Event, u64>, Fault> {
        (**self).events(filter, after, limit)
    }

    fn progress_of(&self, task: TaskId) -> Result<Option<TaskProgress>, Fault> {
        (**self).progress_of(task)
    }

    fn progress_in(
        &self,
        run: RunId,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<TaskProgress, TaskId>, Fault> {
        (**self).progress_in(run, after, limit)
    }

    fn tally(&self, scope: Scope) -> Result<Tally, Fault> {
        (**self).tally(scope)
    }

    fn pulse(&self) -> Result<u64, Fault> {
        (**self).pulse()
    }

    fn lookout(&self) -> Option<Box<dyn Lookout>> {
        (**self).lookout()
    }

    fn next_due(&self) -> Result<Option<Timestamp>, Fault> {
        (**self).next_due()
    }

    fn ready_kinds(&self, limit: u32) -> Result<Vec<Kind>, Fault> {
        (**self).ready_kinds(limit)
    }

    fn explain(&self, subject: ParentId, now: Timestamp) -> Result<Option<Explanation>, Fault> {
        (**self).explain(subject, now)
    }

    fn lost(&self, fences: &[Fence]) -> Result<Vec<Fence>, Fault> {
        (**self).lost(fences)
    }

    fn held(&self, holder: Holder, known: &[Fence], limit: u32) -> Result<Vec<Fence>, Fault> {
        (**self).held(holder, known, limit)
    }

    fn waits(&self, run: RunId, limit: u32) -> Result<Waits, Fault> {
        (**self).waits(run, limit)
    }
}

impl<S: Monitor + ?Sized> Monitor for Arc<S> {
    fn health(&self, scope: Scope, watch: Watch) -> Result<HealthReport, Fault> {
        (**self).health(scope, watch)
    }

    fn stuck(&self, scope: Scope, watch: Watch, limit: u32) -> Result<Vec<Stuck>, Fault> {
        (**self).stuck(scope, watch, limit)
    }

    fn retry_metrics(&self, scope: Scope) -> Result<RetryMetrics, Fault> {
        (**self).retry_metrics(scope)
    }

    fn eta(&self, run: RunId, now: Timestamp) -> Result<Option<Eta>, Fault> {
        (**self).eta(run, now)
    }

    fn summary(&self, run: RunId, watch: Watch) -> Result<Option<RunSummary>, Fault> {
        (**self).summary(run, watch)
    }
}
