//! The engines of a simulation, as processes that crash and are restarted.

use super::engine::SimEngine;
use std::time::Duration;

/// How long it takes to restart an engine that crashed.
const RESTART: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Processes {
    pub(super) engines: Vec<SimEngine>,
    /// When crashed engines are restarted.
    restarts: Vec<Duration>,
    /// How many engines have been started.
    started: usize,
}

/// The next event of a simulation.
pub(super) struct NextEvent {
    pub(super) at: Duration,
    /// The engines that take a turn then; `None` for a restart.
    pub(super) engines: Vec<Option<usize>>,
}

impl Processes {
    /// Starts the engines that are due: the first `wanted` ones, and those that crashed. `start` creates an engine with a
    /// number.
    pub(super) fn start_due(&mut self, now: Duration, wanted: usize, start: impl Fn(usize) -> SimEngine) {
        let (due, later): (Vec<_>, Vec<_>) = self.restarts.iter().partition(|at| **at <= now);
        self.restarts = later;
        let first = wanted - self.started.min(wanted);
        for _ in 0..first + due.len() {
            self.engines.push(start(self.started));
            self.started += 1;
        }
    }

    pub(super) fn wake_all(&mut self) {
        self.engines.iter_mut().for_each(|engine| engine.woken = true);
    }

    pub(super) fn is_restarting(&self) -> bool {
        !self.restarts.is_empty()
    }

    /// Crashes an engine: the one at position `engine`, modulo the number of engines.
    pub(super) fn crash(&mut self, now: Duration, engine: usize) {
        if !self.engines.is_empty() {
            self.engines.remove(engine % self.engines.len());
            self.restarts.push(now + RESTART);
        }
    }

    /// Suspends an engine: the one at position `engine`, modulo the number of engines.
    pub(super) fn suspend(&mut self, until: Duration, engine: usize) {
        if !self.engines.is_empty() {
            let i = engine % self.engines.len();
            self.engines[i].suspend(until);
        }
    }

    /// Returns the next event; `None` if nothing will happen. `due` is when a task of the store becomes due.
    pub(super) fn next_event(
        &mut self,
        now: Duration,
        change_token: u64,
        due: Option<Duration>,
    ) -> Option<NextEvent> {
        let turns = self
            .engines
            .iter_mut()
            .enumerate()
            .filter_map(|(i, engine)| Some((engine.next_turn(now, change_token, due)?, Some(i))));
        let all: Vec<_> = turns.chain(self.restarts.iter().map(|at| (*at, None))).collect();
        let at = all.iter().map(|(at, _)| (*at).max(now)).min()?;
        let engines = all.into_iter().filter(|(one, _)| (*one).max(now) == at).map(|(_, engine)| engine);
        Some(NextEvent { at, engines: engines.collect() })
    }
}
