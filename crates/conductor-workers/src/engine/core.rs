//! The engine without threads: what it holds, and what it asks of the store, turn by turn.
//!
//! It knows no thread and no clock of its own: the time is a parameter, and the attempts that are to begin are handed
//! out. Threads drive it in earnest (`coordinator.rs`), the simulation drives the same code with a clock of its own.

use super::ahead::Ahead;
use super::damage::Damage;
use crate::attempt::Attempt;
use crate::store::EngineStore;
use crate::trace;
use conductor_model::{AttemptFailure, Kind};
use conductor_store::{
    Claim, Claimed, Ending, Enlist, FanOut, Fault, Fence, Fenced, Handles, MAX_PAGE, Presence, Prune,
    Release, Renew, Rescue, Scope, Settle, Source, Step, Turn, Want,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many rows a step changes at most: few enough that claims and results wait for milliseconds only.
const ROWS_PER_STEP: u32 = 4000;
/// The same of a sweep: all of what it looks at may be running, and each of those stands in more indexes than others.
const SWEPT_PER_STEP: u32 = 2000;
/// How often dead engines and leases that ended are looked for.
const RESCUE_EVERY: Duration = Duration::from_millis(250);
/// How often it is asked at most whether what runs was cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How often runs that ended long ago are looked for; and the pause between two transactions that remove some, so that work
/// has the store most of the time.
const PRUNE_EVERY: Duration = Duration::from_secs(1);
const PRUNE_PAUSE: Duration = Duration::from_millis(25);

/// How an engine is set up.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What it handles, and how many of each at once, if that is limited.
    pub(crate) kinds: Vec<(Kind, Option<u32>)>,
    /// How many attempts run at once.
    pub(crate) workers: u32,
    /// How long a claim holds without a heartbeat.
    pub(crate) lease: Duration,
    /// How long what has ended is kept; for ever if that is not said.
    pub(crate) keep: Option<Duration>,
}

/// An attempt that came back, in whatever way.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) attempt: Arc<Attempt>,
    /// How it ended; `None` when the runtime that it ran on was shut down under it.
    pub(crate) ending: Option<Ending>,
}

/// What a turn of the steps came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stepped {
    /// Whether another turn at once would find something to do.
    pub(crate) more: bool,
    /// Whether a run was decided.
    pub(crate) runs_decided: bool,
}

/// The moment up to which the claims of this engine can be trusted, in milliseconds of its monotonic clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust(Arc<AtomicU64>);

impl Trust {
    /// Whether an attempt may begin now.
    pub(crate) fn holds(&self, now: Duration) -> bool {
        millis(now) < self.0.load(Ordering::Acquire)
    }

    fn set(&self, until: Duration) {
        self.0.store(millis(until), Ordering::Release);
    }
}

pub(crate) struct Core {
    store: Arc<dyn EngineStore>,
    source: Arc<Source>,
    settings: Settings,
    presence: Option<Presence>,
    kinds: Vec<KindState>,
    /// The kind that comes first in the next claim.
    first_kind: usize,
    /// By the store's number, so that whatever is done to all of them is done in the same order again.
    held: BTreeMap<u64, Arc<Attempt>>,
    /// Endings that the store has not taken yet.
    endings: Vec<(Fence, Ending)>,
    /// Claims that are handed back and that the store has not taken yet.
    releases: Vec<Fence>,
    ahead: Ahead,
    trust: Trust,
    heartbeat_at: Duration,
    rescue_at: Duration,
    /// When it prunes next.
    prune_at: Duration,
    /// Attempts that began and whose handlers were told to give up, for whoever runs them.
    given_up: Vec<Arc<Attempt>>,
    /// The last claim left something for the places that are still free.
    left_some: bool,
    /// A claim may have been committed whose answer was lost.
    in_doubt: bool,
    damage: Damage,
    /// Why nothing is claimed any more.
    closing: Option<Closing>,
    /// The store's pulse at the last turn.
    pulse: Option<u64>,
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
    RuntimeGone,
}

struct KindState {
    held: u32,
    turn: Turn,
}

impl Core {
    pub(crate) fn new(
        store: Arc<dyn EngineStore>,
        source: Arc<Source>,
        settings: Settings,
        ahead: Ahead,
    ) -> Self {
        let kinds = settings.kinds.iter().map(|_| KindState { held: 0, turn: Turn::default() }).collect();
        Self {
            store,
            source,
            settings,
            presence: None,
            kinds,
            first_kind: 0,
            held: BTreeMap::new(),
            endings: Vec::new(),
            releases: Vec::new(),
            ahead,
            trust: Trust::default(),
            heartbeat_at: Duration::ZERO,
            rescue_at: Duration::ZERO,
            prune_at: Duration::ZERO,
            given_up: Vec::new(),
            left_some: false,
            in_doubt: false,
            damage: Damage::default(),
            closing: None,
            pulse: None,
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

    pub(crate) fn trust(&self) -> Trust {
        self.trust.clone()
    }

    /// Whether nothing is held, and every ending and release was taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.endings.is_empty() && self.releases.is_empty() && !self.in_doubt
    }

    /// Whether it ends because asynchronous handlers have nowhere to run any longer.
    pub(crate) fn runtime_is_gone(&self) -> bool {
        self.closing == Some(Closing::RuntimeGone)
    }

    /// What could not be read since the last call.
    pub(crate) fn take_damage(&mut self) -> Vec<Fault> {
        self.damage.take()
    }

    /// Takes in what finished, to be recorded by the next exchange.
    pub(crate) fn take_in(&mut self, finished: Vec<Finished>) {
        for Finished { attempt, ending } in finished {
            // One that is no longer held was settled by other means: its time was over, or its claim was lost.
            if !self.forget(&attempt) {
                continue;
            }
            if let Some(ending) = ending {
                if let Ending::Failed(failure) = &ending {
                    trace::failed(&attempt, self.kind_of(&attempt), failure);
                }
                self.endings.push((attempt.fence, ending));
            } else {
                self.releases.push(attempt.fence);
                self.closing.get_or_insert(Closing::RuntimeGone);
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
        finished: Vec<Finished>,
        lost_workers: u32,
    ) -> Result<Vec<Arc<Attempt>>, Fault> {
        let count = finished.len();
        self.take_in(finished);
        self.end_what_takes_too_long(now);
        // First of all: what is held must not be lost because something else fails.
        self.renew(now)?;
        self.look_for_lost_claims()?;
        self.hand_back()?;
        self.ahead.measure(now, count);
        self.hand_back_surplus(now, lost_workers)?;
        let claim = self.next_claim(lost_workers)?;
        if self.endings.is_empty() && claim.is_none() {
            return Ok(Vec::new());
        }
        let mut request = Settle::new(std::mem::take(&mut self.endings), &self.source);
        request.claim = claim;
        match self.store.settle(&request) {
            // An ending whose fence no longer holds is somebody else's task by now.
            Ok(settled) => {
                trace::exchanged(&settled);
                Ok(self.take_on(now, request.claim.as_ref(), settled.claimed))
            }
            Err(fault) => {
                self.in_doubt |= request.claim.is_some() && matches!(fault, Fault::CommitUnknown(_));
                self.endings = request.endings;
                if !matches!(fault, Fault::Unreadable { .. }) {
                    return Err(fault);
                }
                self.settle_apart(now, request.claim)
            }
        }
    }

    /// Records the endings, and claims, when a row that cannot be read stands in the way of doing both at once. An ending
    /// whose own row cannot be read is given up.
    fn settle_apart(&mut self, now: Duration, claim: Option<Claim>) -> Result<Vec<Arc<Attempt>>, Fault> {
        let (store, source) = (&*self.store, &*self.source);
        let settle = &mut |endings: &[_]| Ok(store.settle(&Settle::new(endings.to_vec(), source))?.endings);
        if !self.endings.is_empty() {
            self.damage.in_halves(&self.endings, settle)?;
            self.endings.clear();
        }
        let Some(claim) = claim else { return Ok(Vec::new()) };
        let claimed = store.claim(&claim);
        self.in_doubt |= matches!(claimed, Err(Fault::CommitUnknown(_)));
        let claimed = self.damage.past(claimed)?;
        Ok(self.take_on(now, Some(&claim), claimed))
    }

    /// After a claim whose fate is unknown: hands back what was claimed by it, if it was.
    fn look_for_lost_claims(&mut self) -> Result<(), Fault> {
        let Some(presence) = self.presence.as_ref().filter(|_| self.in_doubt) else { return Ok(()) };
        let held = self.held.values().map(|attempt| attempt.fence);
        let ended = self.endings.iter().map(|(fence, _)| *fence);
        let known: Vec<Fence> = held.chain(ended).chain(self.releases.iter().copied()).collect();
        let lost = self.store.held(presence.holder(), &known, MAX_PAGE);
        let lost = self.damage.past(lost)?;
        // A full page may not be the last one.
        self.in_doubt = lost.len() == MAX_PAGE as usize;
        self.releases.extend(lost);
        Ok(())
    }

    /// After something was written: tells handlers that their tasks were cancelled, or that somebody else has them. Asked four
    /// times a second at most, and about those only that have begun: the others find it out when they are settled.
    pub(crate) fn look_for_cancelled(&mut self, now: Duration, pulse: u64) -> Result<(), Fault> {
        self.is_news |= self.pulse.replace(pulse) != Some(pulse);
        if !self.is_news || now < self.looks_at {
            return Ok(());
        }
        (self.is_news, self.looks_at) = (false, now + LOOK_EVERY);
        let running: Vec<Fence> = self.running().map(|attempt| attempt.fence).collect();
        if running.is_empty() {
            return Ok(());
        }
        for fence in self.damage.past(self.store.lost(&running))? {
            if let Some(attempt) = self.held.get(&fence.key).cloned() {
                trace::lease_lost(&attempt, self.kind_of(&attempt));
                self.give_up(attempt);
            }
        }
        Ok(())
    }

    /// The attempts that have begun.
    fn running(&self) -> impl Iterator<Item = &Arc<Attempt>> {
        self.held.values().filter(|attempt| attempt.began().is_some())
    }

    /// The attempts whose handlers were told to give up since the last call: nobody waits for them any longer.
    pub(crate) fn take_given_up(&mut self) -> Vec<Arc<Attempt>> {
        std::mem::take(&mut self.given_up)
    }

    /// The turn that began with the last exchange is over.
    pub(crate) fn turn_over(&mut self, now: Duration) {
        self.ahead.turn_over(now);
    }

    /// Carries out one of each step that moves work on: rescue, retry, promote, expire, sweep, fan out,
    /// aggregate.
    pub(crate) fn step(&mut self, now: Duration) -> Result<Stepped, Fault> {
        let (store, source, damage) = (&*self.store, &*self.source, &mut self.damage);
        let mut stepped = Stepped { more: std::mem::take(&mut self.left_some), runs_decided: false };
        if now >= self.rescue_at {
            let rescued = damage.past(store.rescue(&Rescue::new(ROWS_PER_STEP, source)))?;
            stepped.more |= rescued.tasks > 0;
            if !rescued.more {
                self.rescue_at = now + RESCUE_EVERY;
            }
        }
        let step = Step::new(Scope::All, ROWS_PER_STEP, source);
        stepped.more |= damage.past(store.retry(&step))?.tasks > 0;
        stepped.more |= damage.past(store.promote(&step))?.tasks > 0;
        stepped.more |= damage.past(store.expire(&step))?.runs > 0;
        let swept = damage.past(store.sweep(&Step::new(Scope::All, SWEPT_PER_STEP, source)))?;
        stepped.more |= swept.more;
        if swept.tasks > 0 {
            // Some of these may run here.
            self.looks_at = now;
        }
        let fan_out = FanOut::new(Scope::All, ROWS_PER_STEP, source);
        stepped.more |= damage.past(store.fan_out(&fan_out))?.children > 0;
        let decided = damage.past(store.aggregate(&step))?;
        stepped.more |= decided.more;
        stepped.runs_decided = decided.runs > 0;
        trace::runs_decided(decided.runs);
        self.prune(now)?;
        Ok(stepped)
    }

    /// Removes some of what ended long ago, at a low pace.
    fn prune(&mut self, now: Duration) -> Result<(), Fault> {
        let Some(keep) = self.settings.keep.filter(|_| now >= self.prune_at) else { return Ok(()) };
        let pruned = self.store.prune(&Prune::before(self.source.now().minus_millis(millis(keep))))?;
        self.prune_at = now + if pruned.more { PRUNE_PAUSE } else { PRUNE_EVERY };
        Ok(())
    }

    /// When what it holds wants it: a heartbeat, the end of an attempt's time, a look whether it was cancelled.
    pub(crate) fn wanted_at(&self, now: Duration) -> Option<Duration> {
        let end = |attempt: &Arc<Attempt>| {
            attempt.timeout.map(|timeout| attempt.deadline().unwrap_or(now + timeout))
        };
        let heartbeat = (!self.held.is_empty()).then_some(self.heartbeat_at);
        let look = (self.is_news && self.running().next().is_some()).then_some(self.looks_at);
        self.held.values().filter_map(end).chain(heartbeat).chain(look).min()
    }

    /// When it will look for claims that nobody holds any longer, or for what ended long ago.
    pub(crate) fn rescues_at(&self) -> Duration {
        if self.settings.keep.is_some() { self.rescue_at.min(self.prune_at) } else { self.rescue_at }
    }

    /// From now on nothing is claimed, and what has not begun is handed back: after an error, by the next exchange.
    pub(crate) fn drain(&mut self) -> Result<(), Fault> {
        self.closing.get_or_insert(Closing::Asked);
        self.release(Attempt::take_back)
    }

    /// Hands everything back, also what has begun: its results will be stale, and its handlers are told.
    pub(crate) fn abandon(&mut self) -> Result<(), Fault> {
        self.closing.get_or_insert(Closing::Asked);
        self.release(|attempt| {
            attempt.take_back();
            attempt.signal.give();
            true
        })
    }

    fn release(&mut self, which: impl Fn(&Attempt) -> bool) -> Result<(), Fault> {
        let given_up: Vec<_> = self.held.values().filter(|attempt| which(attempt)).cloned().collect();
        for attempt in &given_up {
            self.forget(attempt);
            self.releases.push(attempt.fence);
        }
        self.hand_back()
    }

    /// Hands back what waits in vain, the last first.
    fn hand_back_surplus(&mut self, now: Duration, lost_workers: u32) -> Result<(), Fault> {
        let waits = |attempt: &&Arc<Attempt>| attempt.began().is_none();
        let waiting = self.held.values().filter(waits).count();
        let workers = self.settings.workers.saturating_sub(lost_workers);
        let surplus = self.ahead.surplus(now, waiting, workers);
        if surplus == 0 {
            return Ok(());
        }
        let last: BTreeSet<u64> =
            self.held.values().rev().filter(waits).take(surplus).map(|attempt| attempt.fence.key).collect();
        self.release(|attempt| last.contains(&attempt.fence.key) && attempt.take_back())
    }

    fn hand_back(&mut self) -> Result<(), Fault> {
        if self.releases.is_empty() {
            return Ok(());
        }
        let (store, source) = (&*self.store, &*self.source);
        let release = &mut |fences: &[Fence]| store.release(&Release::new(fences.to_vec(), source));
        // A claim that is no longer there is somebody else's by now.
        self.damage.in_halves(&self.releases, release)?;
        // Not before: otherwise these would be rescued when this engine is gone, and each pay with a retry.
        self.releases.clear();
        Ok(())
    }

    /// Tells all handlers that nobody waits for them any longer: this engine ends and cannot hand anything back.
    pub(crate) fn give_everything_up(&mut self) {
        for attempt in std::mem::take(&mut self.held).into_values() {
            attempt.take_back();
            attempt.signal.give();
        }
    }

    /// Stops holding an attempt; whether it was held.
    fn forget(&mut self, attempt: &Attempt) -> bool {
        let is_held = self.held.get(&attempt.fence.key).is_some_and(|held| held.fence == attempt.fence);
        if is_held {
            self.held.remove(&attempt.fence.key);
            self.kinds[attempt.kind].held -= 1;
        }
        is_held
    }

    /// Stops holding an attempt that is no longer ours, or whose time is over. One that has not begun never will.
    fn give_up(&mut self, attempt: Arc<Attempt>) {
        self.forget(&attempt);
        if !attempt.take_back() {
            attempt.signal.give();
            self.given_up.push(attempt);
        }
    }

    fn end_what_takes_too_long(&mut self, now: Duration) {
        let is_over = |attempt: &&Arc<Attempt>| attempt.deadline().is_some_and(|deadline| deadline <= now);
        let over: Vec<_> = self.held.values().filter(is_over).cloned().collect();
        for attempt in over {
            trace::timed_out(&attempt, self.kind_of(&attempt));
            self.endings.push((attempt.fence, Ending::Failed(AttemptFailure::TimedOut)));
            self.give_up(attempt);
        }
    }

    /// The heartbeat: renews all leases with one request. A claim that is no longer there is given up.
    fn renew(&mut self, now: Duration) -> Result<(), Fault> {
        if self.held.is_empty() || now < self.heartbeat_at {
            return Ok(());
        }
        let held: Vec<_> = self.held.values().cloned().collect();
        let fences: Vec<Fence> = held.iter().map(|attempt| attempt.fence).collect();
        let (store, source, lease) = (&*self.store, &*self.source, millis(self.settings.lease));
        let renew = &mut |fences: &[Fence]| store.renew(&Renew::new(fences.to_vec(), lease, source));
        let renewed = match self.damage.in_halves(&fences, renew) {
            Ok(renewed) => renewed,
            Err(fault) => {
                if !self.trust.holds(now) {
                    // Too late: others may work on these by now. What has not begun waits until it is known.
                    for attempt in held.into_iter().filter(|attempt| attempt.began().is_some()) {
                        trace::lease_lost(&attempt, self.kind_of(&attempt));
                        self.give_up(attempt);
                    }
                }
                return Err(fault);
            }
        };
        for (attempt, fenced) in held.iter().zip(renewed) {
            if fenced != Some(Fenced::Applied) {
                trace::lease_lost(attempt, self.kind_of(attempt));
                self.give_up(Arc::clone(attempt));
            }
        }
        self.trust_from(now);
        Ok(())
    }

    /// All claims were made or renewed at `now`, or later.
    fn trust_from(&mut self, now: Duration) {
        self.trust.set(now + self.settings.lease);
        self.heartbeat_at = now + self.settings.lease / 3;
    }

    fn next_claim(&mut self, lost_workers: u32) -> Result<Option<Claim>, Fault> {
        let workers = self.settings.workers.saturating_sub(lost_workers);
        let most = if workers == 0 { 0 } else { workers + self.ahead.most() };
        let limit = most.saturating_sub(u32::try_from(self.held.len()).unwrap_or(u32::MAX));
        if self.closing.is_some() || limit == 0 || self.kinds.is_empty() {
            return Ok(None);
        }
        let holder = if let Some(presence) = &self.presence {
            presence.holder()
        } else {
            let Settings { kinds, workers, .. } = &self.settings;
            let handles = Handles { workers: *workers, kinds: kinds.iter().cloned().collect() };
            let presence = self.store.enlist(&Enlist::new(&self.source).handling(handles))?;
            self.presence.insert(presence).holder()
        };
        // Each kind comes first in its turn.
        self.first_kind = (self.first_kind + 1) % self.kinds.len();
        let want = |nth: usize| {
            let kind = self.kind_at(nth);
            let (name, most) = &self.settings.kinds[kind];
            let state = &self.kinds[kind];
            let limit = most.map_or(limit, |most| most.saturating_sub(state.held));
            Want::new(name.clone(), limit).after(state.turn)
        };
        let wants = (0..self.kinds.len()).map(want).collect();
        let claim = Claim::new(holder, wants, millis(self.settings.lease), &self.source).at_most(limit);
        Ok(Some(claim.alone(!self.held.values().any(|attempt| attempt.alone))))
    }

    /// The kind that stands at that place of the present claim.
    fn kind_at(&self, nth: usize) -> usize {
        (self.first_kind + nth) % self.kinds.len()
    }

    fn take_on(&mut self, now: Duration, claim: Option<&Claim>, claimed: Claimed) -> Vec<Arc<Attempt>> {
        let found = claimed.tasks.len() + claimed.failed as usize;
        let has_room = claim.is_some_and(|claim| claimed.tasks.len() < claim.limit as usize);
        self.left_some = claimed.more && found > 0 && has_room;
        for (nth, turn) in claimed.turns.iter().enumerate() {
            let kind = self.kind_at(nth);
            self.kinds[kind].turn = *turn;
        }
        if self.held.is_empty() {
            self.trust_from(now);
        }
        let mut attempts = Vec::with_capacity(claimed.tasks.len());
        let mut bytes = 0;
        for task in claimed.tasks {
            let kind = self.kind_at(task.want);
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
        self.ahead.weigh(attempts.len(), bytes);
        attempts
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
