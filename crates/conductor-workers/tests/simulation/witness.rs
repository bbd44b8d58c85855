//! A store that passes everything on, and watches over what is promised of claims.

use conductor_model::{
    CancelCause, Decision, Event, EventBody, FailureReason, Json, Replay, ReplayedTask, RunId, State, TaskId,
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
        let for_run: HashMap<TaskId, ReplayedTask> =
            known.replay.tasks().filter(|(_, task)| task.run == run).collect();
        let is_settled = |task: &ReplayedTask| task.state.is_terminal() && !task.retry_due;
        assert!(for_run.values().all(is_settled), "what is open was pruned: {for_run:#?}");
        known.acknowledged.retain(|task, _| !for_run.contains_key(task));
        known.met.pruned += 1;
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.known().acknowledged.len()
    }

    pub(crate) fn met(&self) -> Met {
        self.known().met
    }

    /// A claim ends: only the one that holds may do so.
    fn ended(&self, fence: Fence, fenced: FenceOutcome) -> bool {
        let mut known = self.known();
        let holds = known.claims.get(&fence.task) == Some(&fence.attempt);
        assert_eq!(
            fenced == FenceOutcome::Applied,
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

    fn claimed(&self, claimed: &ClaimOutcome) {
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
            EventBody::TaskCancelRequested { cause: by, .. }
            | EventBody::RunCancelRequested { cause: by, .. } => {
                self.met.failed_fast += u32::from(*by == CancelCause::FailFast);
                self.met.deadlines += u32::from(*by == CancelCause::Deadline);
                self.met.cancels += u32::from(*by == CancelCause::Requested);
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
        let of_parent = parent.and_then(|parent| self.replay.task(parent)).and_then(|parent| parent.status);
        let standing = of_parent.unwrap_or_else(|| self.replay.run(run).expect("a run").status);
        assert_eq!(
            standing.decide(),
            Decision::StartJoin,
            "the join of {head:?} begins when its time has come"
        );
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
            if task.status.is_some_and(|standing| standing.cancel_cause.is_some()) {
                return true;
            }
            parent = task.parent;
        }
        self.replay.run(run).expect("a run").status.cancel_cause.is_some()
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

impl Store for Witness {
    forward_store_methods!(
        Store except [rescue, submit_and_claim, claim, renew, settle, release],
        |this| this.store
    );

    fn rescue(&self, request: &Rescue) -> Result<StepOutcome, StoreError> {
        self.look();
        let before = self.known().claims.len();
        let rescued = self.store.rescue(request)?;
        self.look();
        assert_eq!(
            before - self.known().claims.len(),
            rescued.changed as usize,
            "each rescue leaves its event"
        );
        Ok(rescued)
    }

    fn submit_and_claim(
        &self,
        request: &Submit,
        claim: &Claim,
    ) -> Result<(SubmitOutcome, ClaimOutcome), SubmitError> {
        self.look();
        let (submitted, claimed) = self.store.submit_and_claim(request, claim)?;
        self.claimed(&claimed);
        Ok((submitted, claimed))
    }

    fn claim(&self, request: &Claim) -> Result<ClaimOutcome, StoreError> {
        self.look();
        let claimed = self.store.claim(request)?;
        self.claimed(&claimed);
        Ok(claimed)
    }

    fn renew(&self, request: &Renew) -> Result<Vec<FenceOutcome>, StoreError> {
        self.look();
        let answers = self.store.renew(request)?;
        for (fence, fenced) in request.fences.iter().zip(&answers) {
            let holds = self.known().claims.get(&fence.task) == Some(&fence.attempt);
            assert_eq!(*fenced == FenceOutcome::Applied, holds, "what is renewed is held: {fence:?}");
        }
        Ok(answers)
    }

    fn settle(&self, request: &Settle) -> Result<SettleOutcome, StoreError> {
        let nth = self.settlements.fetch_add(1, Ordering::Relaxed) + 1;
        // No number but 0 is a multiple of 0.
        if nth.is_multiple_of(self.busy_every.load(Ordering::Relaxed)) {
            return Err(StoreError::Busy("somebody else writes".into()));
        }
        self.look();
        let settled = self.store.settle(request)?;
        for ((fence, ending), fenced) in request.results.iter().zip(&settled.results) {
            if self.ended(*fence, *fenced)
                && let AttemptResult::Succeeded { output } = ending
            {
                let again = self.known().acknowledged.insert(fence.task, output.clone());
                assert_eq!(again, None, "a success is recorded once");
            }
        }
        self.claimed(&settled.claimed);
        Ok(settled)
    }

    fn release(&self, request: &Release) -> Result<Vec<FenceOutcome>, StoreError> {
        self.look();
        let answers = self.store.release(request)?;
        for (fence, fenced) in request.fences.iter().zip(&answers) {
            self.ended(*fence, *fenced);
        }
        Ok(answers)
    }
}

impl Admin for Witness {
    forward_store_methods!(Admin, |this| this.store);
}

impl Monitor for Witness {
    forward_store_methods!(Monitor, |this| this.store);
}

impl Query for Witness {
    forward_store_methods!(Query, |this| this.store);
}
