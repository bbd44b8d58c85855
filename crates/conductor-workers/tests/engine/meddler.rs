//! A store that something happens to: calls are counted, held up, or fail.

use conductor_model::{Event, Explanation, Kind, Run, RunId, Tally, Task, TaskId, TaskProgress, Timestamp};
use conductor_store::*;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// What happens to a call.
pub(crate) enum Meddling {
    /// Nothing.
    Pass,
    /// It fails, and nothing is done.
    Fail(Fault),
    /// It is done, and fails all the same.
    FailAfter(Fault),
}

type Meddle = Box<dyn Fn(&'static str) -> Meddling + Send + Sync>;

/// A store around another one, which asks before each call, by the name of the method.
pub(crate) struct Meddler {
    inner: Arc<SqliteStore>,
    meddle: Meddle,
    calls: Mutex<HashMap<&'static str, u64>>,
}

pub(crate) fn busy() -> Fault {
    Fault::Busy("somebody else writes".into())
}

pub(crate) fn commit_unknown() -> Fault {
    Fault::CommitUnknown("the disk said nothing".into())
}

pub(crate) fn unreadable() -> Fault {
    Fault::Unreadable { what: "task 7".into(), why: "somebody wrote into it".into() }
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

    fn through<T, E: From<Fault>>(
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
    fn submit(&self, request: &Submit) -> Result<Submitted, SubmitError> {
        self.through("submit", |store| store.submit(request))
    }

    fn submit_and_claim(&self, request: &Submit, claim: &Claim) -> Result<(Submitted, Claimed), SubmitError> {
        self.through("submit_and_claim", |store| store.submit_and_claim(request, claim))
    }

    fn append(&self, request: &Append) -> Result<Appended, AppendError> {
        self.through("append", |store| store.append(request))
    }

    fn seal(&self, request: &Seal) -> Result<(), SealError> {
        self.through("seal", |store| store.seal(request))
    }

    fn report(&self, request: &Reports) -> Result<Vec<Reported>, Fault> {
        self.through("report", |store| store.report(request))
    }

    fn fan_out(&self, step: &FanOut) -> Result<FannedOut, Fault> {
        self.through("fan_out", |store| store.fan_out(step))
    }

    fn aggregate(&self, step: &Step) -> Result<Aggregated, Fault> {
        self.through("aggregate", |store| store.aggregate(step))
    }

    fn retry(&self, step: &Step) -> Result<Retried, Fault> {
        self.through("retry", |store| store.retry(step))
    }

    fn promote(&self, step: &Step) -> Result<Promoted, Fault> {
        self.through("promote", |store| store.promote(step))
    }

    fn sweep(&self, step: &Step) -> Result<Swept, Fault> {
        self.through("sweep", |store| store.sweep(step))
    }

    fn expire(&self, step: &Step) -> Result<Expired, Fault> {
        self.through("expire", |store| store.expire(step))
    }

    fn enlist(&self, request: &Enlist) -> Result<Presence, Fault> {
        self.through("enlist", |store| store.enlist(request))
    }

    fn claim(&self, request: &Claim) -> Result<Claimed, Fault> {
        self.through("claim", |store| store.claim(request))
    }

    fn renew(&self, request: &Renew) -> Result<Vec<Fenced>, Fault> {
        self.through("renew", |store| store.renew(request))
    }

    fn settle(&self, request: &Settle) -> Result<Settled, Fault> {
        self.through("settle", |store| store.settle(request))
    }

    fn release(&self, request: &Release) -> Result<Vec<Fenced>, Fault> {
        self.through("release", |store| store.release(request))
    }

    fn progress(&self, request: &Progressed) -> Result<Vec<Fenced>, Fault> {
        self.through("progress", |store| store.progress(request))
    }

    fn rescue(&self, request: &Rescue) -> Result<Rescued, Fault> {
        self.through("rescue", |store| store.rescue(request))
    }
}

impl Admin for Meddler {
    fn cancel(&self, request: &Cancel) -> Result<Cancelled, CancelError> {
        self.through("cancel", |store| store.cancel(request))
    }

    fn revive(&self, request: &Revive) -> Result<Revived, ReviveError> {
        self.through("revive", |store| store.revive(request))
    }

    fn prune(&self, request: &Prune) -> Result<Pruned, Fault> {
        self.through("prune", |store| store.prune(request))
    }

    fn verify(&self, request: &Verify) -> Result<Verified, Fault> {
        self.through("verify", |store| store.verify(request))
    }

    fn repair(&self, request: &Repair) -> Result<Repaired, Fault> {
        self.through("repair", |store| store.repair(request))
    }
}

impl Query for Meddler {
    fn run(&self, id: RunId) -> Result<Option<Run>, Fault> {
        self.through("run", |store| store.run(id))
    }

    fn runs(&self, after: Option<RunId>, limit: u32) -> Result<Page<Run, RunId>, Fault> {
        self.through("runs", |store| store.runs(after, limit))
    }

    fn task(&self, id: TaskId) -> Result<Option<Task>, Fault> {
        self.through("task", |store| store.task(id))
    }

    fn tasks(
        &self,
        run: RunId,
        filter: TaskFilter,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<Task, TaskId>, Fault> {
        self.through("tasks", |store| store.tasks(run, filter, after, limit))
    }

    fn children(&self, parent: TaskId, after: u32, limit: u32) -> Result<Page<Task, u32>, Fault> {
        self.through("children", |store| store.children(parent, after, limit))
    }

    fn outputs(&self, of: ParentId, after: u32, limit: u32) -> Result<Page<ChildOutput, u32>, Fault> {
        self.through("outputs", |store| store.outputs(of, after, limit))
    }

    fn failures(&self, of: ParentId, after: u32, limit: u32) -> Result<Page<ChildFailure, u32>, Fault> {
        self.through("failures", |store| store.failures(of, after, limit))
    }

    fn events(&self, filter: EventFilter<'_>, after: u64, limit: u32) -> Result<Page<Event, u64>, Fault> {
        self.through("events", |store| store.events(filter, after, limit))
    }

    fn progress_of(&self, task: TaskId) -> Result<Option<TaskProgress>, Fault> {
        self.through("progress_of", |store| store.progress_of(task))
    }

    fn progress_in(
        &self,
        run: RunId,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<TaskProgress, TaskId>, Fault> {
        self.through("progress_in", |store| store.progress_in(run, after, limit))
    }

    fn tally(&self, scope: Scope) -> Result<Tally, Fault> {
        self.through("tally", |store| store.tally(scope))
    }

    fn pulse(&self) -> Result<u64, Fault> {
        self.through("pulse", SqliteStore::pulse)
    }

    fn next_due(&self) -> Result<Option<Timestamp>, Fault> {
        self.through("next_due", SqliteStore::next_due)
    }

    fn ready_kinds(&self, limit: u32) -> Result<Vec<Kind>, Fault> {
        self.through("ready_kinds", |store| store.ready_kinds(limit))
    }

    fn explain(&self, subject: ParentId, now: Timestamp) -> Result<Option<Explanation>, Fault> {
        self.through("explain", |store| store.explain(subject, now))
    }

    fn lost(&self, fences: &[Fence]) -> Result<Vec<Fence>, Fault> {
        self.through("lost", |store| store.lost(fences))
    }

    fn held(&self, holder: Holder, known: &[Fence], limit: u32) -> Result<Vec<Fence>, Fault> {
        self.through("held", |store| store.held(holder, known, limit))
    }

    fn waits(&self, run: RunId, limit: u32) -> Result<Waits, Fault> {
        self.through("waits", |store| store.waits(run, limit))
    }
}
