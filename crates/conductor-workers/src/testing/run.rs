//! Runs a simulation: step by step, or until a run has settled.

use super::Simulation;
use super::engine::{SimEngine, SimTurn};
use super::processes::NextEvent;
use super::workers::SimWorld;
use crate::engine::{Blocked, RunError};
use crate::handler::clock::Monotonic;
use crate::handler::context::ContextShared;
use conductor_model::{Run, RunId, TaskId};
use conductor_store::{MAX_PAGE, StoreError};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

impl Simulation {
    /// Takes one turn of one engine. If no engine has work, advances the time to the next event. Returns `false` if nothing
    /// more will happen.
    ///
    /// While a handler hangs without a timeout there is always another heartbeat.
    ///
    /// # Errors
    /// [`StoreError`] of the turn.
    ///
    /// # Panics
    /// If the engines take turns without end, while no time passes and nothing is written.
    pub fn step(&mut self) -> Result<bool, StoreError> {
        let now = self.elapsed();
        let Self { processes, setup, store, env, .. } = self;
        processes.start_due(now, setup.engines, |number| setup.engine(number, store, env));
        let Some(NextEvent { at, engines }) = self.next_event(now)? else { return Ok(false) };
        if at > now {
            self.livelock.reset();
            self.clock.move_to(at);
            return Ok(true);
        }
        self.livelock.check(&*self.store)?;
        let random = usize::try_from(self.env.jitter().0 % engines.len() as u64).unwrap_or(0);
        let Some(engine) = engines.get(random).copied().flatten() else { return Ok(true) };
        if self.turn(engine)? == SimTurn::Crashed {
            self.crash(engine);
        }
        Ok(true)
    }

    fn next_event(&mut self, now: Duration) -> Result<Option<NextEvent>, StoreError> {
        let change_token = self.store.change_token()?;
        let due = self.store.next_due()?;
        let due = due.map(|due| now + Duration::from_millis(due.millis_since(self.env.now())));
        Ok(self.processes.next_event(now, change_token, due))
    }

    fn turn(&mut self, engine: usize) -> Result<SimTurn, StoreError> {
        let context = Arc::new(ContextShared {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock) as Arc<dyn Monotonic>,
            kinds: self.setup.kinds.iter().map(|(kind, _)| kind.clone()).collect(),
            has_progress: AtomicBool::new(false),
        });
        let world = SimWorld { clock: &self.clock, context: &context, handlers: &self.setup.handlers };
        self.processes.engines[engine].turn(&world)
    }

    /// Continues until the run has settled, and returns it.
    ///
    /// # Errors
    /// [`RunError::Blocked`] if nothing more will happen, with the tasks that the run waits for: for instance a
    /// [`Behavior::hang`](super::Behavior::hang) without a timeout. [`RunError::Store`], [`RunError::RunNotFound`],
    /// [`RunError::Inconsistent`].
    pub fn run_until_settled(&mut self, run: RunId) -> Result<Run, RunError> {
        let mut stalled_since = None;
        loop {
            let found = self.store.run(run)?.ok_or(RunError::RunNotFound(run))?;
            if found.state.is_terminal() {
                return Ok(found);
            }
            if self.is_stalled(run)? {
                // After three leases the tasks of crashed engines have been rescued and tried again.
                let since = *stalled_since.get_or_insert(self.elapsed());
                if self.elapsed().saturating_sub(since) > 3 * self.setup.lease {
                    return Err(self.blocked(run));
                }
            } else {
                stalled_since = None;
            }
            if !self.step()? {
                return Err(self.blocked(run));
            }
        }
    }

    /// Returns whether, at this moment, nothing of the run is left except attempts that hang without a timeout.
    fn is_stalled(&self, run: RunId) -> Result<bool, RunError> {
        let engines = &self.processes.engines;
        let all_hang = engines.iter().all(SimEngine::only_hangs);
        if !all_hang || self.processes.is_restarting() || self.hanging().is_empty() {
            return Ok(false);
        }
        let blockers = self.store.run_blockers(run, MAX_PAGE)?;
        let is_handled = blockers.ready.iter().any(|kind| self.setup.handles(kind));
        let has_room = engines.iter().any(|engine| engine.workers.has_room());
        Ok(!(blockers.other_work || is_handled && has_room))
    }

    /// Returns the tasks whose handlers hang without a timeout.
    fn hanging(&self) -> Vec<TaskId> {
        self.processes.engines.iter().flat_map(|engine| engine.workers.hanging()).collect()
    }

    /// Returns why nothing more will happen to the run.
    fn blocked(&self, run: RunId) -> RunError {
        let mut blockers = match self.store.run_blockers(run, MAX_PAGE) {
            Ok(blockers) => blockers,
            Err(error) => return error.into(),
        };
        blockers.ready.retain(|kind| !self.setup.handles(kind));
        let blocked = Blocked {
            run,
            unhandled_kinds: blockers.ready,
            external_tasks: blockers.external_tasks,
            is_open: blockers.open,
            stalled_tasks: self.hanging(),
        };
        let is_empty = blocked.unhandled_kinds.is_empty()
            && blocked.external_tasks.is_empty()
            && blocked.stalled_tasks.is_empty();
        if is_empty && !blocked.is_open { RunError::Inconsistent(run) } else { RunError::Blocked(blocked) }
    }
}
