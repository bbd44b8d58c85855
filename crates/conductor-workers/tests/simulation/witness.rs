//! A store that passes everything on, and watches over what is promised of claims.

use conductor_model::{
    Decision, Event, EventBody, Explanation, FailureReason, Json, Kind, Mark, Replay, ReplayedTask, Run,
    RunId, State, Tally, Task, TaskId, TaskProgress, Timestamp,
};
use conductor_store::*;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The store, and what is known of it.
#[derive(Clone)]
pub(crate) struct Witness {
    pub(crate) store: Arc<SqliteStore>,
    known: Arc<Mutex<Known>>,
    /// Every so many settlements the store is busy; 0 for never.
    busy_every: Arc<AtomicU64>,
    settlements: Arc<AtomicU64>,
}

#[derive(Default)]
struct Known {
    replay: Replay,
    seq: u64,
    /// The greatest attempt that was ever claimed of each task.
    attempts: HashMap<TaskId, u32>,
    /// The claims that hold.
    claims: HashMap<TaskId, u32>,
    /// Successes that the store acknowledged.
    acknowledged: HashMap<TaskId, Option<Json>>,
    /// The heads whose join has begun since they last reopened.
    joined: HashSet<Head>,
    met: Met,
}

/// A parent, or a run.
type Head = (RunId, Option<TaskId>);

/// How often something that matters came up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Met {
    /// A join began.
    pub(crate) joins: u32,
    /// It was run again in a later life of its head.
    pub(crate) joins_again: u32,
    /// A claim was taken away because its task was cancelled.
    pub(crate) claims_cancelled: u32,
    /// An ending came too late for that.
    pub(crate) stale: u32,
    pub(crate) failed_fast: u32,
    pub(crate) deadlines: u32,
    pub(crate) cancels: u32,
    /// A leaf was revived.
    pub(crate) revived: u32,
    /// A head reopened.
    pub(crate) reopened: u32,
    /// A run was removed.
    pub(crate) pruned: u32,
}

impl Met {
    /// Thousands of seeds come across all of it.
    pub(crate) fn assert_interesting(self) {
        let Self { joins, joins_again, claims_cancelled, stale, failed_fast, .. } = self;
        let Self { deadlines, cancels, revived, reopened, pruned, .. } = self;
        let all = [
            joins,
            joins_again,
            claims_cancelled,
            stale,
            failed_fast,
            deadlines,
            cancels,
            revived,
            reopened,
            pruned,
        ];
        assert!(all.iter().all(|times| *times > 20), "{self:#?}");
    }
}

impl std::ops::AddAssign for Met {
    fn add_assign(&mut self, other: Self) {
        self.joins += other.joins;
        self.joins_again += other.joins_again;
        self.claims_cancelled += other.claims_cancelled;
        self.stale += other.stale;
        self.failed_fast += other.failed_fast;
        self.deadlines += other.deadlines;
        self.cancels += other.cancels;
        self.revived += other.revived;
        self.reopened += other.reopened;
        self.pruned += other.pruned;
    }
}

impl Witness {
    pub(crate) fn new() -> Self {
        let store = Arc::new(SqliteStore::open_in_memory().expect("a store"));
        Self { store, known: Arc::default(), busy_every: Arc::default(), settlements: Arc::default() }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the store is busy at every third settlement, or whichever it is, and takes nothing.
    pub(crate) fn is_busy_every(&self, settlements: u64) {
        self.busy_every.store(settlements, Ordering::Relaxed);
    }

    /// Reads the events that are new: each tells a legal transition, and takes none back that was acknowledged.
    pub(crate) fn look(&self) {
        let mut known = self.known();
        loop {
            let page = self.store.events(EventFilter::default(), known.seq, 1000).expect("a page of events");
            for event in &page.items {
                known.watch(event);
                known.replay.apply(event).expect("no transition happens twice");
                known.seq = event.seq;
                known.take_in(event);
            }
            if page.next.is_none() {
                break;
            }
        }
        known.forget_cancelled_claims();
        for task in known.acknowledged.keys() {
            let state = known.replay.task(*task).unwrap().state;
            assert_eq!(state, State::Succeeded, "an acknowledged result of {task} is not lost");
        }
    }

    /// At the end: what was acknowledged is there, and nothing else is said to have succeeded.
    pub(crate) fn compare_outputs(&self) {
        for (task, output) in &self.known().acknowledged {
            let found = self.store.task(*task).expect("an answer").expect("the task");
            assert_eq!((found.state, &found.output), (State::Succeeded, output));
        }
    }

    /// A run was removed: only one that was settled, with all below it, may be.
    pub(crate) fn forget_pruned(&self, run: RunId) {
        let mut known = self.known();
        let state = known.replay.run(run).expect("a run that was there").state;
        assert!(state.is_terminal(), "a run that is {state} was pruned");
        let of_run: HashMap<TaskId, ReplayedTask> =
            known.replay.tasks().filter(|(_, task)| task.run == run).collect();
        let is_settled = |task: &ReplayedTask| task.state.is_terminal() && !task.retry_due;
        assert!(of_run.values().all(is_settled), "what is open was pruned: {of_run:#?}");
        known.acknowledged.retain(|task, _| !of_run.contains_key(task));
        known.met.pruned += 1;
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.known().acknowledged.len()
    }

    pub(crate) fn met(&self) -> Met {
        self.known().met
    }

    /// A claim ends: only the one that holds may do so.
    fn ended(&self, fence: Fence, fenced: Fenced) -> bool {
        let mut known = self.known();
        let holds = known.claims.get(&fence.task) == Some(&fence.attempt);
        assert_eq!(
            fenced == Fenced::Applied,
            holds,
            "a stale fence never wins, and a good one does: {fence:?}"
        );
        if holds {
            known.claims.remove(&fence.task);
        } else {
            known.met.stale += 1;
        }
        holds
    }

    fn claimed(&self, claimed: &Claimed) {
        let mut known = self.known();
        for task in &claimed.tasks {
            let Fence { task: id, attempt, .. } = task.fence;
            let last = known.attempts.insert(id, attempt).unwrap_or(0);
            assert!(attempt > last, "attempts never go back: {attempt} of {id} comes after {last}");
            let other = known.claims.insert(id, attempt);
            assert_eq!(other, None, "nobody else holds {id}");
        }
    }
}

impl Known {
    fn take_in(&mut self, event: &Event) {
        if let (Some(task), EventBody::TaskFailed { reason: FailureReason::LeaseExpired, .. }) =
            (event.task, &event.body)
        {
            assert!(self.claims.remove(&task).is_some(), "a lease that ended was a claim of {task}");
        }
    }

    /// Whether this event may follow on all that came before.
    fn watch(&mut self, event: &Event) {
        match &event.body {
            EventBody::TaskCreated { index: 0, parent, .. } => self.join_begins((event.run, *parent)),
            EventBody::TaskRevived => {
                self.met.revived += 1;
                let task = event.task.and_then(|task| self.replay.task(task)).expect("a task is revived");
                if task.is_join() {
                    self.join_begins((task.run, task.parent));
                }
            }
            EventBody::RunReopened | EventBody::TaskReopened => {
                self.met.reopened += 1;
                self.met.joins_again += u32::from(self.joined.remove(&(event.run, event.task)));
            }
            EventBody::TaskStarted => {
                let task = event.task.and_then(|task| self.replay.task(task)).expect("a task starts");
                assert!(!self.is_marked((task.run, task.parent)), "nothing starts below a mark: {event:?}");
            }
            EventBody::TaskFannedOut { .. } => {
                assert!(
                    !self.is_marked((event.run, event.task)),
                    "nothing is created below a mark: {event:?}"
                );
            }
            EventBody::TaskMarked { by, .. } | EventBody::RunCancelled { by, .. } => {
                self.met.failed_fast += u32::from(*by == Mark::FailFast);
                self.met.deadlines += u32::from(*by == Mark::Deadline);
                self.met.cancels += u32::from(*by == Mark::Cancelled);
            }
            _ => {}
        }
    }

    /// A join fires once in each life of its head, after all children are settled and never before.
    fn join_begins(&mut self, head: Head) {
        self.met.joins += 1;
        assert!(self.joined.insert(head), "the join of {head:?} begins once");
        assert!(!self.is_marked(head), "no join begins below a mark: {head:?}");
        let (run, parent) = head;
        let of_parent = parent.and_then(|parent| self.replay.task(parent)).and_then(|parent| parent.standing);
        let standing = of_parent.unwrap_or_else(|| self.replay.run(run).expect("a run").standing);
        assert_eq!(standing.decide(), Decision::Join, "the join of {head:?} begins when its time has come");
        let is_open = |(_, task): (TaskId, ReplayedTask)| {
            let is_settled = task.state.is_terminal() && !task.retry_due;
            (task.run, task.parent) == head && !task.is_join() && !is_settled
        };
        assert!(!self.replay.tasks().any(is_open), "the children of {head:?} are settled");
    }

    /// Whether this head, or anything above it, is marked.
    fn is_marked(&self, (run, mut parent): Head) -> bool {
        while let Some(task) = parent {
            let task = self.replay.task(task).expect("a parent");
            if task.standing.is_some_and(|standing| standing.mark.is_some()) {
                return true;
            }
            parent = task.parent;
        }
        self.replay.run(run).expect("a run").standing.mark.is_some()
    }

    /// Whoever held what was cancelled holds it no longer, and hears so when it renews or settles.
    fn forget_cancelled_claims(&mut self) {
        let before = self.claims.len();
        let replay = &self.replay;
        self.claims.retain(|task, attempt| {
            let task = replay.task(*task).expect("a task that was claimed");
            task.state == State::Running && task.attempt == *attempt
        });
        self.met.claims_cancelled += u32::try_from(before - self.claims.len()).unwrap_or(u32::MAX);
    }
}

macro_rules! pass_on {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        fn $name(&self, $($arg: $type),*) -> $answer {
            self.store.$name($($arg),*)
        }
    )*};
}

impl Store for Witness {
    pass_on! {
        submit(request: &Submit) -> Result<Submitted, SubmitError>;
        append(request: &Append) -> Result<Appended, AppendError>;
        seal(request: &Seal) -> Result<(), SealError>;
        report(request: &Reports) -> Result<Vec<Reported>, Fault>;
        fan_out(step: &FanOut) -> Result<FannedOut, Fault>;
        aggregate(step: &Step) -> Result<Aggregated, Fault>;
        retry(step: &Step) -> Result<Retried, Fault>;
        promote(step: &Step) -> Result<Promoted, Fault>;
        sweep(step: &Step) -> Result<Swept, Fault>;
        expire(step: &Step) -> Result<Expired, Fault>;
        enlist(request: &Enlist) -> Result<Presence, Fault>;
        progress(request: &Progressed) -> Result<Vec<Fenced>, Fault>;
    }

    fn rescue(&self, request: &Rescue) -> Result<Rescued, Fault> {
        self.look();
        let before = self.known().claims.len();
        let rescued = self.store.rescue(request)?;
        self.look();
        assert_eq!(
            before - self.known().claims.len(),
            rescued.tasks as usize,
            "each rescue leaves its event"
        );
        Ok(rescued)
    }

    fn submit_and_claim(&self, request: &Submit, claim: &Claim) -> Result<(Submitted, Claimed), SubmitError> {
        self.look();
        let (submitted, claimed) = self.store.submit_and_claim(request, claim)?;
        self.claimed(&claimed);
        Ok((submitted, claimed))
    }

    fn claim(&self, request: &Claim) -> Result<Claimed, Fault> {
        self.look();
        let claimed = self.store.claim(request)?;
        self.claimed(&claimed);
        Ok(claimed)
    }

    fn renew(&self, request: &Renew) -> Result<Vec<Fenced>, Fault> {
        self.look();
        let answers = self.store.renew(request)?;
        for (fence, fenced) in request.fences.iter().zip(&answers) {
            let holds = self.known().claims.get(&fence.task) == Some(&fence.attempt);
            assert_eq!(*fenced == Fenced::Applied, holds, "what is renewed is held: {fence:?}");
        }
        Ok(answers)
    }

    fn settle(&self, request: &Settle) -> Result<Settled, Fault> {
        let nth = self.settlements.fetch_add(1, Ordering::Relaxed) + 1;
        // No number but 0 is a multiple of 0.
        if nth.is_multiple_of(self.busy_every.load(Ordering::Relaxed)) {
            return Err(Fault::Busy("somebody else writes".into()));
        }
        self.look();
        let settled = self.store.settle(request)?;
        for ((fence, ending), fenced) in request.endings.iter().zip(&settled.endings) {
            if self.ended(*fence, *fenced)
                && let Ending::Succeeded { output } = ending
            {
                let again = self.known().acknowledged.insert(fence.task, output.clone());
                assert_eq!(again, None, "a success is recorded once");
            }
        }
        self.claimed(&settled.claimed);
        Ok(settled)
    }

    fn release(&self, request: &Release) -> Result<Vec<Fenced>, Fault> {
        self.look();
        let answers = self.store.release(request)?;
        for (fence, fenced) in request.fences.iter().zip(&answers) {
            self.ended(*fence, *fenced);
        }
        Ok(answers)
    }
}

impl Admin for Witness {
    pass_on! {
        cancel(request: &Cancel) -> Result<Cancelled, CancelError>;
        revive(request: &Revive) -> Result<Revived, ReviveError>;
        prune(request: &Prune) -> Result<Pruned, Fault>;
        verify(request: &Verify) -> Result<Verified, Fault>;
        repair(request: &Repair) -> Result<Repaired, Fault>;
    }
}

impl Query for Witness {
    pass_on! {
        run(id: RunId) -> Result<Option<Run>, Fault>;
        runs(after: Option<RunId>, limit: u32) -> Result<Page<Run, RunId>, Fault>;
        task(id: TaskId) -> Result<Option<Task>, Fault>;
        tasks(run: RunId, filter: TaskFilter, after: Option<TaskId>, limit: u32) -> Result<Page<Task, TaskId>, Fault>;
        children(parent: TaskId, after: u32, limit: u32) -> Result<Page<Task, u32>, Fault>;
        outputs(of: ParentId, after: u32, limit: u32) -> Result<Page<ChildOutput, u32>, Fault>;
        failures(of: ParentId, after: u32, limit: u32) -> Result<Page<ChildFailure, u32>, Fault>;
        events(filter: EventFilter<'_>, after: u64, limit: u32) -> Result<Page<Event, u64>, Fault>;
        progress_of(task: TaskId) -> Result<Option<TaskProgress>, Fault>;
        progress_in(run: RunId, after: Option<TaskId>, limit: u32) -> Result<Page<TaskProgress, TaskId>, Fault>;
        tally(scope: Scope) -> Result<Tally, Fault>;
        pulse() -> Result<u64, Fault>;
        next_due() -> Result<Option<Timestamp>, Fault>;
        ready_kinds(limit: u32) -> Result<Vec<Kind>, Fault>;
        explain(subject: ParentId, now: Timestamp) -> Result<Option<Explanation>, Fault>;
        lost(fences: &[Fence]) -> Result<Vec<Fence>, Fault>;
        held(holder: Holder, known: &[Fence], limit: u32) -> Result<Vec<Fence>, Fault>;
        waits(run: RunId, limit: u32) -> Result<Waits, Fault>;
    }
}
