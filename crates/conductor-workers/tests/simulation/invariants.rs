//! A store that forwards all calls, and checks the invariants of claims, joins and cancels.

use crate::coverage::Coverage;
use conductor_conformance::AnyStore;
use conductor_model::{
    CancelCause, Decision, Event, EventBody, FailureReason, Json, Replay, ReplayedTask, RunId, State, TaskId,
};
use conductor_store::*;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A store, and the state that a correct store must have.
#[derive(Clone)]
pub(crate) struct InvariantChecker {
    pub(crate) store: Arc<dyn AnyStore>,
    observed: Arc<Mutex<Observed>>,
    /// Every settlement with a multiple of this number fails as busy. 0 means never.
    busy_every: Arc<AtomicU64>,
    settlements: Arc<AtomicU64>,
}

#[derive(Default)]
struct Observed {
    replay: Replay,
    seq: u64,
    /// The highest claimed attempt of each task.
    attempts: HashMap<TaskId, u32>,
    /// The present claims.
    claims: HashMap<TaskId, u32>,
    /// Successes that the store acknowledged.
    acknowledged: HashMap<TaskId, Option<Json>>,
    /// The parents whose join has started since they last reopened.
    joined: HashSet<ParentKey>,
    coverage: Coverage,
}

/// A parent task of a run, or the run itself.
type ParentKey = (RunId, Option<TaskId>);

impl InvariantChecker {
    pub(crate) fn new() -> Self {
        Self::of(Arc::new(SqliteStore::open_in_memory().expect("a store")))
    }

    fn of(store: Arc<dyn AnyStore>) -> Self {
        Self { store, observed: Arc::default(), busy_every: Arc::default(), settlements: Arc::default() }
    }

    fn observed(&self) -> std::sync::MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets every n-th settlement fail as busy.
    pub(crate) fn fail_every(&self, settlements: u64) {
        self.busy_every.store(settlements, Ordering::Relaxed);
    }

    /// Reads all new events. Each must be a legal transition, and must not revoke an acknowledged success.
    pub(crate) fn check_new_events(&self) {
        let mut observed = self.observed();
        loop {
            let page =
                self.store.events(EventFilter::default(), observed.seq, 1000).expect("a page of events");
            for event in &page.items {
                observed.check(event);
                observed.replay.apply(event).expect("a legal transition");
                observed.seq = event.seq;
                observed.end_expired_claim(event);
            }
            if page.next.is_none() {
                break;
            }
        }
        observed.remove_cancelled_claims();
        for task in observed.acknowledged.keys() {
            let state = observed.replay.task(*task).unwrap().state;
            assert_eq!(state, State::Succeeded, "an acknowledged result of {task} is lost");
        }
    }

    /// Checks at the end that the store has every acknowledged output.
    pub(crate) fn compare_outputs(&self) {
        for (task, output) in &self.observed().acknowledged {
            let found = self.store.task(*task).expect("an answer").expect("the task");
            assert_eq!((found.state, &found.output), (State::Succeeded, output));
        }
    }

    /// Forgets a pruned run. The run and all its tasks must have been settled.
    pub(crate) fn forget_pruned(&self, run: RunId) {
        let mut observed = self.observed();
        let state = observed.replay.run(run).expect("a known run").state;
        assert!(state.is_terminal(), "a run in state {state} was pruned");
        let tasks: HashMap<TaskId, ReplayedTask> =
            observed.replay.tasks().filter(|(_, task)| task.run == run).collect();
        let is_settled = |task: &ReplayedTask| task.state.is_terminal() && !task.retry_scheduled;
        assert!(tasks.values().all(is_settled), "open tasks were pruned: {tasks:#?}");
        observed.acknowledged.retain(|task, _| !tasks.contains_key(task));
        observed.coverage.pruned += 1;
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.observed().acknowledged.len()
    }

    pub(crate) fn coverage(&self) -> Coverage {
        self.observed().coverage
    }

    /// Ends a claim, and returns whether it was present. The store must reject every other claim.
    fn end_claim(&self, fence: Fence, outcome: FenceOutcome) -> bool {
        let mut observed = self.observed();
        let holds = observed.claims.get(&fence.task) == Some(&fence.attempt);
        assert_eq!(
            outcome == FenceOutcome::Applied,
            holds,
            "only the present claim may be settled or released: {fence:?}"
        );
        if holds {
            observed.claims.remove(&fence.task);
        } else {
            observed.coverage.late_results += 1;
        }
        holds
    }

    /// Records new claims.
    fn begin_claims(&self, claimed: &ClaimOutcome) {
        let mut observed = self.observed();
        for task in &claimed.tasks() {
            let Fence { task: id, attempt, .. } = task.fence;
            let last = observed.attempts.insert(id, attempt).unwrap_or(0);
            assert!(attempt > last, "attempt {attempt} of {id} comes after attempt {last}");
            let other = observed.claims.insert(id, attempt);
            assert_eq!(other, None, "task {id} has another claim");
        }
    }
}

impl Observed {
    fn end_expired_claim(&mut self, event: &Event) {
        if let (Some(task), EventBody::TaskFailed { reason: FailureReason::LeaseExpired, .. }) =
            (event.task, &event.body)
        {
            assert!(self.claims.remove(&task).is_some(), "the expired lease was a claim of {task}");
        }
    }

    /// Checks that this event may follow all previous events.
    fn check(&mut self, event: &Event) {
        match &event.body {
            EventBody::TaskCreated { index: 0, parent, .. } => self.start_join((event.run, *parent)),
            EventBody::TaskRevived => {
                self.coverage.revived += 1;
                let task = event.task.and_then(|task| self.replay.task(task)).expect("a known task");
                if task.is_join() {
                    self.start_join((task.run, task.parent));
                }
            }
            EventBody::RunReopened | EventBody::TaskReopened => {
                self.coverage.reopened += 1;
                self.coverage.reopened_joins += u32::from(self.joined.remove(&(event.run, event.task)));
            }
            EventBody::TaskStarted => {
                let task = event.task.and_then(|task| self.replay.task(task)).expect("a known task");
                assert!(
                    !self.is_being_cancelled((task.run, task.parent)),
                    "a task started below a cancelled parent: {event:?}"
                );
            }
            EventBody::TaskFannedOut { .. } => {
                assert!(
                    !self.is_being_cancelled((event.run, event.task)),
                    "a task was created below a cancelled parent: {event:?}"
                );
            }
            EventBody::TaskCancelRequested { cause, .. } | EventBody::RunCancelRequested { cause, .. } => {
                self.coverage.failed_fast += u32::from(*cause == CancelCause::FailFast);
                self.coverage.deadlines += u32::from(*cause == CancelCause::Deadline);
                self.coverage.cancels += u32::from(*cause == CancelCause::Requested);
            }
            _ => {}
        }
    }

    /// A join starts once after each opening of its parent, when all children are settled.
    fn start_join(&mut self, key: ParentKey) {
        self.coverage.joins += 1;
        assert!(self.joined.insert(key), "the join of {key:?} started twice");
        assert!(!self.is_being_cancelled(key), "a join started below a cancelled parent: {key:?}");
        let (run, parent) = key;
        let of_parent = parent.and_then(|parent| self.replay.task(parent)).and_then(|parent| parent.status);
        let status = of_parent.unwrap_or_else(|| self.replay.run(run).expect("a run").status);
        assert_eq!(status.decide(), Decision::StartJoin, "the join of {key:?} started too early");
        let is_open = |(_, task): (TaskId, ReplayedTask)| {
            let is_settled = task.state.is_terminal() && !task.retry_scheduled;
            (task.run, task.parent) == key && !task.is_join() && !is_settled
        };
        assert!(!self.replay.tasks().any(is_open), "a child of {key:?} is open");
    }

    /// Returns whether this parent or an ancestor is being cancelled.
    fn is_being_cancelled(&self, (run, mut parent): ParentKey) -> bool {
        while let Some(task) = parent {
            let task = self.replay.task(task).expect("a parent");
            if task.status.is_some_and(|status| status.cancel_cause.is_some()) {
                return true;
            }
            parent = task.parent;
        }
        self.replay.run(run).expect("a run").status.cancel_cause.is_some()
    }

    /// Removes the claims of cancelled tasks. Their engines learn of it at the next renewal or settlement.
    fn remove_cancelled_claims(&mut self) {
        let before = self.claims.len();
        let replay = &self.replay;
        self.claims.retain(|task, attempt| {
            let task = replay.task(*task).expect("a claimed task");
            task.state == State::Running && task.attempt == *attempt
        });
        self.coverage.claims_cancelled += u32::try_from(before - self.claims.len()).unwrap_or(u32::MAX);
    }
}

impl Store for InvariantChecker {
    forward_store_methods!(
        Store except [rescue, submit_and_claim, claim, renew, settle, release],
        |this| this.store
    );

    fn rescue(&self, request: &Rescue) -> Result<StepOutcome, StoreError> {
        self.check_new_events();
        let before = self.observed().claims.len();
        let rescued = self.store.rescue(request)?;
        self.check_new_events();
        assert_eq!(
            before - self.observed().claims.len(),
            rescued.changed as usize,
            "each rescue writes one event"
        );
        Ok(rescued)
    }

    fn submit_and_claim(
        &self,
        request: &Submit,
        claim: &Claim,
    ) -> Result<(SubmitOutcome, ClaimOutcome), SubmitError> {
        self.check_new_events();
        let (submitted, claimed) = self.store.submit_and_claim(request, claim)?;
        self.begin_claims(&claimed);
        Ok((submitted, claimed))
    }

    fn claim(&self, request: &Claim) -> Result<ClaimOutcome, StoreError> {
        self.check_new_events();
        let claimed = self.store.claim(request)?;
        self.begin_claims(&claimed);
        Ok(claimed)
    }

    fn renew(&self, request: &Renew) -> Result<Vec<FenceOutcome>, StoreError> {
        self.check_new_events();
        let outcomes = self.store.renew(request)?;
        for (fence, outcome) in request.fences.iter().zip(&outcomes) {
            let holds = self.observed().claims.get(&fence.task) == Some(&fence.attempt);
            assert_eq!(
                *outcome == FenceOutcome::Applied,
                holds,
                "only the present claim may be renewed: {fence:?}"
            );
        }
        Ok(outcomes)
    }

    fn settle(&self, request: &Settle) -> Result<SettleOutcome, StoreError> {
        let number = self.settlements.fetch_add(1, Ordering::Relaxed) + 1;
        // With 0, no settlement fails: only 0 is a multiple of 0.
        if number.is_multiple_of(self.busy_every.load(Ordering::Relaxed)) {
            return Err(StoreError::Busy("another process writes".into()));
        }
        self.check_new_events();
        let settled = self.store.settle(request)?;
        let acknowledge = |fence: Fence, outcome, result: &AttemptResult| {
            if self.end_claim(fence, outcome)
                && let AttemptResult::Succeeded { output } = result
            {
                let again = self.observed().acknowledged.insert(fence.task, output.clone());
                assert_eq!(again, None, "a success was recorded twice");
            }
        };
        for ((fence, result), outcome) in request.results.iter().zip(&settled.results) {
            acknowledge(*fence, *outcome, result);
        }
        for (set, applied) in request.succeeded.iter().zip(&settled.succeeded) {
            let applied: HashSet<Fence> = FenceSet { offsets: *applied, ..*set }.iter().collect();
            for fence in set.iter() {
                let is_applied = applied.contains(&fence);
                let outcome = if is_applied { FenceOutcome::Applied } else { FenceOutcome::Stale };
                acknowledge(fence, outcome, &AttemptResult::Succeeded { output: None });
            }
        }
        self.begin_claims(&settled.claimed);
        Ok(settled)
    }

    fn release(&self, request: &Release) -> Result<Vec<FenceOutcome>, StoreError> {
        self.check_new_events();
        let outcomes = self.store.release(request)?;
        for (fence, outcome) in request.fences.iter().zip(&outcomes) {
            self.end_claim(*fence, *outcome);
        }
        Ok(outcomes)
    }
}

impl Admin for InvariantChecker {
    forward_store_methods!(Admin, |this| this.store);
}

impl Monitor for InvariantChecker {
    forward_store_methods!(Monitor, |this| this.store);
}

impl Query for InvariantChecker {
    forward_store_methods!(Query, |this| this.store);
}
