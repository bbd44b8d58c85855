//! One engine of a simulation: the core of a real one, without threads.

use super::behavior::{Behavior, Outcome};
use super::clock::VirtualClock;
use crate::engine::scheduler::{FinishedAttempt, LeaseValidity, Scheduler};
use crate::handler::Call;
use crate::handler::attempt::Attempt;
use crate::handler::context::{Context, Shared};
use conductor_model::TaskId;
use conductor_store::{AttemptResult, StoreError, Submit, SubmitError, SubmitOutcome};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What handles a kind in a simulation.
pub(super) enum SimHandler {
    /// A function of the user's, called when its attempt begins.
    Real(Call),
    Script(Box<dyn Fn(&Context) -> Behavior>),
}

pub(super) struct SimEngine {
    pub(super) number: usize,
    core: Scheduler,
    trust: LeaseValidity,
    workers: u32,
    /// Claimed and not begun.
    queue: VecDeque<Arc<Attempt>>,
    running: Vec<Running>,
    /// Its process does not run before.
    stands_still_until: Duration,
    /// Something happened that it is told at once.
    pub(super) woken: bool,
    /// The pulse of the store before its last turn.
    change_token: u64,
    /// When it will notice that others wrote.
    notices_at: Option<Duration>,
}

struct Running {
    attempt: Arc<Attempt>,
    ends_at: Duration,
    /// `None` when it stalls its process at the end, or never ends.
    ending: Option<AttemptResult>,
    stalls: Option<Duration>,
    /// The engine does not wait for it any longer.
    lost: bool,
}

impl Running {
    /// Whether nothing ends it.
    fn hangs(&self) -> bool {
        self.ends_at == Duration::MAX && self.attempt.timeout.is_none()
    }
}

/// What a turn came to, for the simulation.
#[derive(Default)]
pub(super) struct Turned {
    /// The process of the engine died.
    pub(super) crashed: bool,
}

impl SimEngine {
    pub(super) fn new(number: usize, core: Scheduler, workers: u32) -> Self {
        let trust = core.trust();
        Self {
            number,
            core,
            trust,
            workers,
            queue: VecDeque::new(),
            running: Vec::new(),
            stands_still_until: Duration::ZERO,
            woken: true,
            change_token: 0,
            notices_at: None,
        }
    }

    pub(super) fn stand_still(&mut self, until: Duration) {
        self.stands_still_until = self.stands_still_until.max(until);
    }

    /// When it runs next, if nothing happens before. `due` is when time alone gives somebody something to do.
    pub(super) fn wakes_at(
        &mut self,
        now: Duration,
        change_token: u64,
        due: Option<Duration>,
    ) -> Option<Duration> {
        if change_token != self.change_token && self.notices_at.is_none() {
            self.notices_at = Some(now + crate::POLL_INTERVAL);
        }
        // What was due at its last turn already waits for the next rescue.
        let due = due.map(|due| if due <= now { self.core.rescues_at().max(due) } else { due });
        let ends = self.running.iter().map(|running| running.ends_at).min();
        let woken = self.woken.then_some(now);
        let first =
            [woken, self.notices_at, due, ends, self.core.wanted_at(now)].into_iter().flatten().min()?;
        (first < Duration::MAX).then_some(first.max(self.stands_still_until))
    }

    /// Whether everything that runs hangs, and has no timeout that could end it.
    pub(super) fn only_hangs(&self) -> bool {
        !self.woken && self.running.iter().all(|running| running.lost || running.hangs())
    }

    /// The tasks whose handlers hang and have no timeout.
    pub(super) fn hanging(&self) -> impl Iterator<Item = TaskId> {
        let hanging = self.running.iter().filter(|running| !running.lost && running.hangs());
        hanging.map(|running| running.attempt.fence.task)
    }

    /// Whether one more attempt could begin.
    pub(super) fn has_room(&self) -> bool {
        self.running.iter().filter(|running| !running.lost).count() < self.workers as usize
    }

    /// Submits a run, and claims what can begin of it; `None`, and nothing was submitted, if it stands still or nothing can begin.
    pub(super) fn submit(
        &mut self,
        now: Duration,
        request: &Submit,
    ) -> Result<Option<SubmitOutcome>, SubmitError> {
        if self.stands_still_until > now {
            return Ok(None);
        }
        let queue = &mut self.queue;
        let submitted = self.core.submit(now, request, 0, |attempts| queue.extend(attempts))?;
        self.woken |= submitted.is_some();
        Ok(submitted)
    }

    /// Takes in what finished, talks to the store, and begins what can begin.
    pub(super) fn turn(
        &mut self,
        clock: &VirtualClock,
        shared: &Arc<Shared>,
        handlers: &[SimHandler],
    ) -> Result<Turned, StoreError> {
        let now = clock.now();
        self.woken = false;
        self.notices_at = None;
        let (over, running) =
            std::mem::take(&mut self.running).into_iter().partition(|one| one.ends_at <= now);
        self.running = running;
        let mut finished = Vec::new();
        for one in over {
            let Running { attempt, ending, stalls, .. } = one;
            match (ending, stalls) {
                (Some(ending), _) => finished.push(FinishedAttempt { attempt, ending: Some(ending) }),
                (None, Some(time)) => {
                    self.stand_still(now + time);
                    let ending = Some(AttemptResult::Succeeded { output: None });
                    let ends_at = now + time;
                    self.running.push(Running { attempt, ends_at, ending, stalls: None, lost: false });
                }
                (None, None) => return Ok(Turned { crashed: true }),
            }
        }
        if self.stands_still_until > now {
            // It stood still before it could tell anybody.
            self.running.extend(finished.into_iter().map(|FinishedAttempt { attempt, ending }| Running {
                attempt,
                ends_at: self.stands_still_until,
                ending,
                stalls: None,
                lost: false,
            }));
            return Ok(Turned::default());
        }
        self.change_token = shared.store.change_token()?;
        let started = self.core.exchange(now, finished, 0);
        let looked = self.core.look_for_cancelled(now, self.change_token);
        for attempt in self.core.take_given_up() {
            let running = self.running.iter_mut().find(|running| Arc::ptr_eq(&running.attempt, &attempt));
            if let Some(running) = running {
                running.lost = true;
            }
        }
        self.queue.extend(started?);
        looked?;
        self.begin(now, clock, shared, handlers);
        self.woken |= self.core.step(now)?.more;
        Ok(Turned::default())
    }

    /// Begins as many attempts as there are workers.
    fn begin(&mut self, now: Duration, clock: &VirtualClock, shared: &Arc<Shared>, handlers: &[SimHandler]) {
        let busy = self.running.iter().filter(|running| !running.lost).count();
        for _ in busy..self.workers as usize {
            let Some(attempt) = self.queue.pop_front() else { return };
            if !self.trust.holds(now) {
                self.queue.push_front(attempt);
                return;
            }
            if !attempt.begin(now) {
                continue;
            }
            let context = Context { attempt: Arc::clone(&attempt), shared: Arc::clone(shared) };
            let act = match &handlers[attempt.kind] {
                SimHandler::Script(script) => script(&context),
                SimHandler::Real(Call::Plain(handler)) => {
                    let end = Outcome::Returns(handler(context));
                    Behavior { takes: clock.take_ahead(), end }
                }
                #[cfg(feature = "tokio")]
                SimHandler::Real(Call::Asynchronous(_)) => Behavior::hang(),
            };
            let ends_at =
                if act.end == Outcome::Hangs { Duration::MAX } else { now.saturating_add(act.takes) };
            let (ending, stalls) = match act.end {
                Outcome::Returns(ending) => (Some(ending), None),
                Outcome::Stalls(time) => (None, Some(time)),
                Outcome::Crashes | Outcome::Hangs => (None, None),
            };
            self.running.push(Running { attempt, ends_at, ending, stalls, lost: false });
        }
    }
}
