//! The engine without threads: what it holds, and what it asks of the store, turn by turn.
//!
//! It knows no thread and no clock of its own: the time is a parameter, and the attempts that are to begin are handed
//! out. Threads drive it in earnest (`coordinator.rs`), the simulation drives the same code with a clock of its own.
//!
//! Here: what goes to the store and comes back. `held.rs`: what is kept, handed back or given up.
//! `batch.rs`: how much is settled at once. `steps.rs`: what moves work on.

mod batch;
mod claims;
mod corrupt_rows;
pub(crate) mod prefetch;
mod steps;

pub(crate) use batch::MOST_SETTLED;

use crate::engine::trace;
use crate::handler::attempt::Attempt;
use crate::store::EngineStore;
use conductor_model::{AttemptFailure, Kind, NewTask};
use conductor_store::{
    AttemptResult, Claim, ClaimOutcome, EngineCapabilities, EngineRegistration, Environment, Fence,
    KindQuota, RegisterEngine, RotationCursor, Settle, StoreError, Submit, SubmitError, SubmitOutcome,
};
use corrupt_rows::CorruptRows;
use prefetch::Prefetch;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How an engine is set up.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What it handles, and how many of each at once, if that is limited.
    pub(crate) kinds: Vec<(Kind, Option<u32>)>,
    /// How many attempts run at once.
    pub(crate) workers: u32,
    /// How long a claim holds without a heartbeat.
    pub(crate) lease: Duration,
    /// How many bytes of outputs and errors one batch writes, about: others wait for the write lock meanwhile.
    pub(crate) most_settled: usize,
    /// How long what has ended is kept; for ever if that is not said.
    pub(crate) keep: Option<Duration>,
}

/// An attempt that came back, in whatever way.
#[derive(Debug)]
pub(crate) struct FinishedAttempt {
    pub(crate) attempt: Arc<Attempt>,
    /// How it ended; `None` when the runtime that it ran on was shut down under it.
    pub(crate) ending: Option<AttemptResult>,
}

/// The moment up to which the claims of this engine can be trusted, in milliseconds of its monotonic clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeaseValidity(Arc<AtomicU64>);

impl LeaseValidity {
    /// Whether an attempt may begin now.
    pub(crate) fn holds(&self, now: Duration) -> bool {
        millis(now) < self.0.load(Ordering::Acquire)
    }

    fn set(&self, until: Duration) {
        self.0.store(millis(until), Ordering::Release);
    }
}

pub(crate) struct Scheduler {
    store: Arc<dyn EngineStore>,
    env: Arc<Environment>,
    settings: Settings,
    registration: Option<EngineRegistration>,
    kinds: Vec<KindState>,
    /// The kind that comes first in the next claim.
    first_kind: usize,
    /// By the store's number, so that whatever is done to all of them is done in the same order again.
    held: BTreeMap<u64, Arc<Attempt>>,
    /// Endings that the store has not taken yet.
    endings: Vec<(Fence, AttemptResult)>,
    /// Claims that are handed back and that the store has not taken yet.
    releases: Vec<Fence>,
    ahead: Prefetch,
    trust: LeaseValidity,
    heartbeat_at: Duration,
    rescue_at: Duration,
    /// Where the last fan-out stopped.
    fan_out_turn: RotationCursor,
    /// When it prunes next.
    prune_at: Duration,
    /// Attempts that began and whose handlers were told to give up, for whoever runs them.
    given_up: Vec<Arc<Attempt>>,
    /// The last claim left something for the places that are still free.
    left_some: bool,
    /// A claim may have been committed whose answer was lost.
    in_doubt: bool,
    damage: CorruptRows,
    /// Why nothing is claimed any more.
    closing: Option<Closing>,
    /// The store's pulse at the last turn.
    change_token: Option<u64>,
    /// Something was written since it was last asked whether what runs is still to run.
    is_news: bool,
    /// Before when that is not asked again.
    looks_at: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// It was asked to end.
    Asked,
    /// Asynchronous handlers have nowhere to run.
    RuntimeShutDown,
}

struct KindState {
    held: u32,
    turn: RotationCursor,
}

impl Scheduler {
    pub(crate) fn new(
        store: Arc<dyn EngineStore>,
        env: Arc<Environment>,
        settings: Settings,
        ahead: Prefetch,
    ) -> Self {
        let kinds =
            settings.kinds.iter().map(|_| KindState { held: 0, turn: RotationCursor::default() }).collect();
        Self {
            store,
            env,
            settings,
            registration: None,
            kinds,
            first_kind: 0,
            held: BTreeMap::new(),
            endings: Vec::new(),
            releases: Vec::new(),
            ahead,
            trust: LeaseValidity::default(),
            heartbeat_at: Duration::ZERO,
            rescue_at: Duration::ZERO,
            fan_out_turn: RotationCursor::default(),
            prune_at: Duration::ZERO,
            given_up: Vec::new(),
            left_some: false,
            in_doubt: false,
            damage: CorruptRows::default(),
            closing: None,
            change_token: None,
            is_news: false,
            looks_at: Duration::ZERO,
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What it holds.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Arc<Attempt>> {
        self.held.values()
    }

    fn kind_of(&self, attempt: &Attempt) -> &Kind {
        &self.settings.kinds[attempt.kind].0
    }

    pub(crate) fn trust(&self) -> LeaseValidity {
        self.trust.clone()
    }

    /// Whether nothing is held, and every ending and release was taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.endings.is_empty() && self.releases.is_empty() && !self.in_doubt
    }

    /// Whether it ends because asynchronous handlers have nowhere to run any longer.
    pub(crate) fn runtime_is_gone(&self) -> bool {
        self.closing == Some(Closing::RuntimeShutDown)
    }

    /// What could not be read since the last call.
    pub(crate) fn take_damage(&mut self) -> Vec<StoreError> {
        self.damage.take()
    }

    /// Takes in what finished, to be recorded by the next exchange.
    pub(crate) fn take_in(&mut self, finished: Vec<FinishedAttempt>) {
        let outputs = finished.iter().filter_map(|finished| finished.ending.as_ref()).map(batch::weight);
        self.ahead.weigh_outputs(finished.len(), outputs.sum());
        for FinishedAttempt { attempt, ending } in finished {
            // One that is no longer held was settled by other means: its time was over, or its claim was lost.
            if !self.forget(&attempt) {
                continue;
            }
            if let Some(ending) = ending {
                match &ending {
                    AttemptResult::Failed(AttemptFailure::TimedOut) => {
                        trace::timed_out(&attempt, self.kind_of(&attempt));
                    }
                    AttemptResult::Failed(failure) => {
                        trace::failed(&attempt, self.kind_of(&attempt), failure);
                    }
                    AttemptResult::Succeeded { .. } => {}
                }
                self.endings.push((attempt.fence, ending));
            } else {
                self.releases.push(attempt.fence);
                self.closing.get_or_insert(Closing::RuntimeShutDown);
            }
        }
    }

    /// Takes in what finished, records it, and claims what is to begin next. So many workers are lost to handlers
    /// that ignore the end of their time.
    ///
    /// After an error nothing is lost: the endings and the releases wait for the next turn.
    pub(crate) fn exchange(
        &mut self,
        now: Duration,
        finished: Vec<FinishedAttempt>,
        lost_workers: u32,
    ) -> Result<Vec<Arc<Attempt>>, StoreError> {
        self.take_in(finished);
        self.end_what_takes_too_long(now);
        // First of all: what is held must not be lost because something else fails.
        self.renew(now)?;
        self.look_for_lost_claims()?;
        self.hand_back()?;
        let endings = batch::take_first(&mut self.endings, self.settings.most_settled);
        self.ahead.measure(now, endings.len());
        let mut request = Settle::new(endings, &self.env);
        match self.hand_back_surplus(now, lost_workers).and_then(|()| self.next_claim(lost_workers)) {
            Ok(None) if request.results.is_empty() => return Ok(Vec::new()),
            Ok(claim) => request.claim = claim,
            Err(fault) => {
                self.put_back(request.results);
                return Err(fault);
            }
        }
        match self.store.settle(&request) {
            // An ending whose fence no longer holds is somebody else's task by now.
            Ok(settled) => {
                trace::exchanged(&settled);
                Ok(self.take_on(now, request.claim.as_ref(), settled.claimed))
            }
            Err(fault) => {
                self.in_doubt |=
                    request.claim.is_some() && matches!(fault, StoreError::CommitOutcomeUnknown(_));
                if !matches!(fault, StoreError::CorruptRow { .. }) {
                    self.put_back(request.results);
                    return Err(fault);
                }
                self.settle_apart(now, request.results, request.claim)
            }
        }
    }

    /// Whether more waits to be settled than memory is meant for.
    fn is_full(&self) -> bool {
        self.endings.iter().map(|(_, ending)| batch::weight(ending)).sum::<usize>() > batch::MOST_WAITING
    }

    /// These endings come first in the next batch.
    fn put_back(&mut self, mut endings: Vec<(Fence, AttemptResult)>) {
        endings.append(&mut self.endings);
        self.endings = endings;
    }

    /// Records the endings, and claims, when a row that cannot be read stands in the way of doing both at once. An ending
    /// whose own row cannot be read is given up.
    fn settle_apart(
        &mut self,
        now: Duration,
        endings: Vec<(Fence, AttemptResult)>,
        claim: Option<Claim>,
    ) -> Result<Vec<Arc<Attempt>>, StoreError> {
        let (store, env) = (&*self.store, &*self.env);
        let settle = &mut |endings: &[_]| Ok(store.settle(&Settle::new(endings.to_vec(), env))?.results);
        if !endings.is_empty()
            && let Err(fault) = self.damage.in_halves(&endings, settle)
        {
            self.put_back(endings);
            return Err(fault);
        }
        let Some(claim) = claim else { return Ok(Vec::new()) };
        let claimed = store.claim(&claim);
        self.in_doubt |= matches!(claimed, Err(StoreError::CommitOutcomeUnknown(_)));
        let claimed = self.damage.past(claimed)?;
        Ok(self.take_on(now, Some(&claim), claimed))
    }

    /// Submits a run, claims in the same transaction what the workers that are free can begin of its kinds, and has it begun.
    /// `None`, and nothing was submitted, when nothing of it can be claimed now, or a row that cannot be read stands in the way
    /// of doing both at once.
    pub(crate) fn submit(
        &mut self,
        now: Duration,
        request: &Submit,
        lost_workers: u32,
        begin: impl FnOnce(Vec<Arc<Attempt>>),
    ) -> Result<Option<SubmitOutcome>, SubmitError> {
        let held = u32::try_from(self.held.len()).unwrap_or(u32::MAX);
        let free = self.settings.workers.saturating_sub(lost_workers).saturating_sub(held);
        if free == 0 || self.registration.is_none() {
            return Ok(None);
        }
        let is_ready = |task: &NewTask| task.child_counts().is_none() && task.due_at().is_none();
        let ready: HashSet<_> =
            request.run.tasks().iter().filter(|task| is_ready(task)).map(NewTask::kind).collect();
        let Some(mut claim) = self.next_claim(lost_workers)? else { return Ok(None) };
        claim.limit = claim.limit.min(free);
        for want in claim.quotas.iter_mut().filter(|want| !ready.contains(&want.kind)) {
            want.limit = 0;
        }
        if claim.quotas.iter().all(|want| want.limit == 0) {
            return Ok(None);
        }
        match self.store.submit_and_claim(request, &claim) {
            Ok((submitted, claimed)) => {
                let attempts = self.take_on(now, Some(&claim), claimed);
                trace::claimed(attempts.len());
                begin(attempts);
                Ok(Some(submitted))
            }
            Err(SubmitError::Store(StoreError::CorruptRow { .. })) => Ok(None),
            Err(error) => {
                self.in_doubt |= matches!(error, SubmitError::Store(StoreError::CommitOutcomeUnknown(_)));
                Err(error)
            }
        }
    }

    /// The attempts whose handlers were told to give up since the last call: nobody waits for them any longer.
    pub(crate) fn take_given_up(&mut self) -> Vec<Arc<Attempt>> {
        std::mem::take(&mut self.given_up)
    }

    /// The turn that began with the last exchange is over. How long the next one can wait for more to settle.
    pub(crate) fn turn_over(&mut self, now: Duration) -> Duration {
        self.ahead.turn_over(now);
        self.ahead.pause(self.held.len(), self.settings.workers)
    }

    /// When what it holds wants it: a heartbeat, the end of an attempt's time, a look whether it was cancelled.
    pub(crate) fn wanted_at(&self, now: Duration) -> Option<Duration> {
        let end = |attempt: &Arc<Attempt>| {
            attempt.timeout.map(|timeout| attempt.deadline().unwrap_or(now + timeout))
        };
        let is_held = !(self.held.is_empty() && self.endings.is_empty());
        let heartbeat = is_held.then_some(self.heartbeat_at);
        let look = (self.is_news && self.running().next().is_some()).then_some(self.looks_at);
        self.held.values().filter_map(end).chain(heartbeat).chain(look).min()
    }

    /// When it will look for claims that nobody holds any longer, or for what ended long ago.
    pub(crate) fn rescues_at(&self) -> Duration {
        if self.settings.keep.is_some() { self.rescue_at.min(self.prune_at) } else { self.rescue_at }
    }

    /// All claims were made or renewed at `now`, or later.
    fn trust_from(&mut self, now: Duration) {
        self.trust.set(now + self.settings.lease);
        self.heartbeat_at = now + self.settings.lease / 3;
    }

    fn next_claim(&mut self, lost_workers: u32) -> Result<Option<Claim>, StoreError> {
        let workers = self.settings.workers.saturating_sub(lost_workers);
        let most = if workers == 0 { 0 } else { workers + self.ahead.most() };
        // What waits to be settled has its place until it is.
        let here = self.held.len() + self.endings.len();
        let limit = most.saturating_sub(u32::try_from(here).unwrap_or(u32::MAX));
        if self.closing.is_some() || limit == 0 || self.kinds.is_empty() || self.is_full() {
            return Ok(None);
        }
        let holder = if let Some(registration) = &self.registration {
            registration.key()
        } else {
            let Settings { kinds, workers, .. } = &self.settings;
            let handles = EngineCapabilities { workers: *workers, kinds: kinds.iter().cloned().collect() };
            let registration =
                self.store.register_engine(&RegisterEngine::new(&self.env).capabilities(handles))?;
            self.registration.insert(registration).key()
        };
        // Each kind comes first in its turn.
        self.first_kind = (self.first_kind + 1) % self.kinds.len();
        let want = |nth: usize| {
            let kind = self.kind_at(nth);
            let (name, most) = &self.settings.kinds[kind];
            let state = &self.kinds[kind];
            let limit = most.map_or(limit, |most| most.saturating_sub(state.held));
            KindQuota::new(name.clone(), limit).after(state.turn)
        };
        let wants = (0..self.kinds.len()).map(want).collect();
        let claim = Claim::new(holder, wants, millis(self.settings.lease), &self.env).at_most(limit);
        Ok(Some(claim.allow_isolated(!self.held.values().any(|attempt| attempt.alone))))
    }

    /// The kind that stands at that place of the present claim.
    fn kind_at(&self, nth: usize) -> usize {
        (self.first_kind + nth) % self.kinds.len()
    }

    fn take_on(&mut self, now: Duration, claim: Option<&Claim>, claimed: ClaimOutcome) -> Vec<Arc<Attempt>> {
        let found = claimed.tasks.len() + claimed.rejected as usize;
        let has_room = claim.is_some_and(|claim| claimed.tasks.len() < claim.limit as usize);
        self.left_some = claimed.more && found > 0 && has_room;
        for (nth, turn) in claimed.cursors.iter().enumerate() {
            let kind = self.kind_at(nth);
            self.kinds[kind].turn = *turn;
        }
        if self.held.is_empty() && self.endings.is_empty() {
            self.trust_from(now);
        }
        let mut attempts = Vec::with_capacity(claimed.tasks.len());
        let mut bytes = 0;
        for task in claimed.tasks {
            let kind = self.kind_at(task.quota_index);
            bytes += task.input.as_ref().map_or(0, |input| input.as_str().len());
            let attempt = Arc::new(Attempt::new(task, kind));
            // Its last claim was lost while this engine stood still, and nobody has told it yet.
            if let Some(lost) = self.held.get(&attempt.fence.key).cloned() {
                trace::lease_lost(&lost, self.kind_of(&lost));
                self.give_up(lost);
            }
            self.kinds[kind].held += 1;
            self.held.insert(attempt.fence.key, Arc::clone(&attempt));
            attempts.push(attempt);
        }
        self.ahead.weigh_inputs(attempts.len(), bytes);
        attempts
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
