//! One engine of a simulation: the scheduler of a real engine, without threads.

use super::behavior::Outcome;
use super::workers::{Running, SimWorkers, SimWorld, WorkersInTurn};
use crate::engine::scheduler::{Scheduler, TurnInput};
use crate::handler::attempt::Finished;
use crate::limits::POLL_INTERVAL;
use conductor_store::{AttemptResult, StoreError, Submit, SubmitError, SubmitOutcome};
use std::time::Duration;

pub(super) struct SimEngine {
    pub(super) number: usize,
    scheduler: Scheduler,
    pub(super) workers: SimWorkers,
    /// Until then the process of the engine is suspended.
    suspended_until: Duration,
    /// Whether the engine takes a turn at once.
    pub(super) woken: bool,
    /// The change token of the store before the last turn.
    change_token: u64,
    /// When the engine notices a write of another engine.
    polls_at: Option<Duration>,
}

/// The outcome of a turn of a simulated engine.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SimTurn {
    Taken,
    Crashed,
}

impl SimEngine {
    pub(super) fn new(number: usize, scheduler: Scheduler) -> Self {
        Self {
            number,
            workers: SimWorkers::new(&scheduler),
            scheduler,
            suspended_until: Duration::ZERO,
            woken: true,
            change_token: 0,
            polls_at: None,
        }
    }

    /// Suspends the process of the engine.
    pub(super) fn suspend(&mut self, until: Duration) {
        self.suspended_until = self.suspended_until.max(until);
    }

    /// Returns when the engine takes its next turn. `due` is when a task of the store becomes due.
    pub(super) fn next_turn(
        &mut self,
        now: Duration,
        change_token: u64,
        due: Option<Duration>,
    ) -> Option<Duration> {
        if change_token != self.change_token && self.polls_at.is_none() {
            self.polls_at = Some(now + POLL_INTERVAL);
        }
        // A task that was due at the last turn waits for the next rescue.
        let due = due.map(|due| if due <= now { self.scheduler.next_rescue().max(due) } else { due });
        let woken = self.woken.then_some(now);
        let wakes = [woken, self.polls_at, due, self.workers.next_end(), self.scheduler.next_wake(now)];
        let first = wakes.into_iter().flatten().min()?;
        (first < Duration::MAX).then_some(first.max(self.suspended_until))
    }

    /// Returns whether the engine only waits for handlers that hang without a timeout.
    pub(super) fn only_hangs(&self) -> bool {
        !self.woken && self.workers.all_hang()
    }

    /// Submits a run, and claims its first tasks. Returns `None` if nothing was submitted: the engine is suspended, or
    /// nothing of the run can start.
    pub(super) fn submit(
        &mut self,
        now: Duration,
        request: &Submit,
    ) -> Result<Option<SubmitOutcome>, SubmitError> {
        if self.suspended_until > now {
            return Ok(None);
        }
        let Some(submitted) = self.scheduler.submit(now, request, 0)? else { return Ok(None) };
        self.workers.enqueue(submitted.claimed);
        self.woken = true;
        Ok(Some(submitted.outcome))
    }

    /// Takes a turn.
    pub(super) fn turn(&mut self, world: &SimWorld<'_>) -> Result<SimTurn, StoreError> {
        let now = world.clock.now();
        self.woken = false;
        self.polls_at = None;
        let mut returned = Vec::new();
        for Running { attempt, outcome, .. } in self.workers.take_ended(now) {
            match outcome {
                Outcome::Returns(result) => returned.push((attempt, result)),
                Outcome::Stalls(time) => {
                    self.suspend(now + time);
                    let outcome = Outcome::Returns(AttemptResult::Succeeded { output: None });
                    self.workers.push_running(Running::new(attempt, now + time, outcome));
                }
                Outcome::Crashes | Outcome::Hangs => return Ok(SimTurn::Crashed),
            }
        }
        if self.suspended_until > now {
            // The process was suspended before it could settle the results.
            for (attempt, result) in returned {
                let outcome = Outcome::Returns(result);
                self.workers.push_running(Running::new(attempt, self.suspended_until, outcome));
            }
            return Ok(SimTurn::Taken);
        }
        self.change_token = world.context.store.change_token()?;
        let finished = returned
            .into_iter()
            .filter_map(|(attempt, result)| Finished::record(attempt, Some(result)))
            .collect();
        let input = TurnInput { finished, change_token: Some(self.change_token), takes_steps: true };
        let mut workers = WorkersInTurn { workers: &mut self.workers, now, world };
        self.woken |= self.scheduler.turn(now, input, &mut workers)?.more;
        Ok(SimTurn::Taken)
    }
}
