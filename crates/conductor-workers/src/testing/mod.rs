//! Tries out what takes hours in microseconds: engines without threads, on a clock that moves when it is told to.
//!
//! A [`Simulation`] drives the same code that a real [`Engine`](crate::Engine) drives, one turn after the other in an order
//! that follows from a seed. Handlers are the user's own, or scripts that say what happens: how long an attempt takes, how it
//! fails, when the process dies under it. Time passes only when there is nothing to do before.
//!
//! ```
//! use conductor_model::{Backoff, RunDraft, State, TaskDraft};
//! use conductor_store::SqliteStore;
//! use conductor_workers::testing::{Behavior, Simulation};
//! use conductor_workers::{Context, TaskError};
//! use std::time::Duration;
//!
//! fn flaky(host: String, context: Context) -> Result<String, TaskError> {
//!     if context.sleep(Duration::from_secs(90)) {
//!         return Err(TaskError::retry("gave up"));
//!     }
//!     if context.attempt() < 3 { Err(TaskError::retry("connection reset")) } else { Ok(host) }
//! }
//!
//! let mut simulation = Simulation::new(SqliteStore::open_in_memory()?, 1)
//!     .handler("flaky", flaky)
//!     .script("fragile", |context| if context.attempt() == 1 { Behavior::crash() } else { Behavior::succeed() });
//!
//! let backoff = Backoff::exponential(60_000, 3_600_000)?;
//! let flaky = TaskDraft::new("flaky").input("example.org").backoff(backoff);
//! let run = simulation.submit(RunDraft::new().task(flaky).task(TaskDraft::new("fragile")))?;
//!
//! assert_eq!(simulation.run_until_settled(run)?.state, State::Succeeded);
//! // The crash took the first attempt of `flaky` with it. Then there were waits of one and of two minutes, and two attempts
//! // of 90 seconds; and a second until the process was started again.
//! assert_eq!(simulation.elapsed().as_secs() / 10, (60 + 90 + 120 + 90) / 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod behavior;
mod clock;
mod engine;

pub use behavior::Behavior;

use crate::engine::scheduler::prefetch::Prefetch;
use crate::engine::scheduler::{MOST_SETTLED, Scheduler, Settings};
use crate::handler::clock::Monotonic;
use crate::handler::context::{Context, Shared};
use crate::handler::{Handler, SyncHandler};
use crate::store::EngineStore;
use crate::{Blocked, BuildError, RunError};
use clock::VirtualClock;
use conductor_model::{DEFAULT_LEASE_MS, Kind, Run, RunDraft, RunId, TaskId, Timestamp};
use conductor_store::{Clock, Environment, MAX_PAGE, StoreError, Submit, SubmitError};
use engine::{SimEngine, SimHandler};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long it takes until the successor of an engine that died starts.
const RESTART: Duration = Duration::from_secs(1);
/// After so many turns in which neither time passed nor anything was written, something goes round in a circle.
const TURNS_WITHOUT_TIME: u32 = 100_000;

/// Engines on one store, on one clock, in one thread.
pub struct Simulation {
    store: Arc<dyn EngineStore>,
    clock: Arc<VirtualClock>,
    env: Arc<Environment>,
    kinds: Vec<(Kind, Option<u32>)>,
    handlers: Vec<SimHandler>,
    workers: u32,
    ahead: u32,
    lease: Duration,
    most_settled: usize,
    engines: Vec<SimEngine>,
    /// When successors of engines that died start.
    successors: Vec<Duration>,
    wanted_engines: usize,
    started: usize,
    wake_ups_are_lost: bool,
    turns_without_time: u32,
    /// The store's pulse when it was last asked whether something goes round in a circle.
    written_before: Option<u64>,
}

impl Simulation {
    /// A simulation with one engine of four workers, in which everything happens again for the same seed.
    pub fn new(store: impl EngineStore + 'static, seed: u64) -> Self {
        let clock = Arc::new(VirtualClock::default());
        let env = Arc::new(Environment::seeded(Wall(Arc::clone(&clock)), seed));
        Self {
            store: Arc::new(store),
            clock,
            env,
            kinds: Vec::new(),
            handlers: Vec::new(),
            workers: 4,
            ahead: 0,
            lease: Duration::from_millis(DEFAULT_LEASE_MS),
            most_settled: MOST_SETTLED,
            engines: Vec::new(),
            successors: Vec::new(),
            wanted_engines: 1,
            started: 0,
            wake_ups_are_lost: false,
            turns_without_time: 0,
            written_before: None,
        }
    }

    #[track_caller]
    fn with(mut self, kind: &str, handler: SimHandler) -> Self {
        let kind: Kind = kind.parse().unwrap_or_else(|issue| panic!("kind {kind:?}: {issue}"));
        let is_new = self.kinds.iter().all(|(known, _)| *known != kind);
        assert!(is_new, "{}", BuildError::DuplicateHandler(kind));
        self.kinds.push((kind, None));
        self.handlers.push(handler);
        self
    }

    /// Handles a kind with a function, as a real engine would. It is called when its attempt begins, and what it waits for
    /// with [`Context::sleep`] is the time that it takes.
    ///
    /// # Panics
    /// When no task can have that kind, or it has a handler already.
    #[track_caller]
    pub fn handler<M: SyncHandler>(self, kind: &str, handler: impl Handler<M>) -> Self {
        self.with(kind, SimHandler::Real(handler.erased().0))
    }

    /// Handles a kind by a script.
    ///
    /// # Panics
    /// When no task can have that kind, or it has a handler already.
    #[track_caller]
    pub fn script(self, kind: &str, script: impl Fn(&Context) -> Behavior + 'static) -> Self {
        self.with(kind, SimHandler::Script(Box::new(script)))
    }

    /// At most so many tasks of the kind that was named last at once, per engine.
    pub fn kind_limit(mut self, most: u32) -> Self {
        if let Some((_, limit)) = self.kinds.last_mut() {
            *limit = Some(most);
        }
        self
    }

    /// How many engines there are; at least one.
    pub fn engines(mut self, engines: usize) -> Self {
        self.wanted_engines = engines.max(1);
        self
    }

    /// How many attempts each engine runs at once.
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// How many more each engine claims ahead; a real one decides that by the time that attempts take.
    pub fn prefetch(mut self, ahead: u32) -> Self {
        self.ahead = ahead;
        self
    }

    /// How long a claim holds without a heartbeat.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How many bytes of outputs and errors one settlement writes, about; one ending at least.
    pub fn max_settle_bytes(mut self, bytes: usize) -> Self {
        self.most_settled = bytes;
        self
    }

    /// Engines are not told what was submitted, nor what others wrote: they find it when they look.
    pub fn lose_wake_ups(mut self) -> Self {
        self.wake_ups_are_lost = true;
        self
    }

    /// Time, ids and chance, as the engines see them.
    pub fn environment(&self) -> &Environment {
        &self.env
    }

    /// The present moment, by the clock on the wall.
    pub fn now(&self) -> Timestamp {
        self.env.now()
    }

    /// How much time has passed.
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Lets time pass in which no engine does anything.
    pub fn advance(&self, time: Duration) {
        self.clock.move_to(self.elapsed().saturating_add(time));
    }

    /// The clock on the wall jumps: from now on it is wrong by so many milliseconds.
    pub fn set_clock_offset_ms(&mut self, millis: i64) {
        self.clock.set_wrong_by(millis);
        // Engines look again four times a second, whatever the clock says.
        self.engines.iter_mut().for_each(|engine| engine.woken = true);
    }

    /// Submits a run: through one of the engines, as chance has it, or through none of them.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was written.
    pub fn submit(&mut self, run: impl std::borrow::Borrow<RunDraft>) -> Result<RunId, SubmitError> {
        let request = Submit::new(run.borrow().validate()?, &self.env);
        let now = self.elapsed();
        let chance = self.env.jitter().0 % (self.engines.len() as u64 + 1);
        let engine = usize::try_from(chance).ok().and_then(|place| self.engines.get_mut(place));
        let begun = engine.map_or(Ok(None), |engine| engine.submit(now, &request))?;
        let submitted = begun.map_or_else(|| self.store.submit(&request), Ok)?;
        self.wake();
        Ok(submitted.run)
    }

    /// Tells the engines that something was written.
    pub fn wake(&mut self) {
        if !self.wake_ups_are_lost {
            self.engines.iter_mut().for_each(|engine| engine.woken = true);
        }
    }

    /// The process of an engine dies: the engine that stands at that place of those that live, counted round. Another one
    /// starts a second later.
    pub fn crash(&mut self, engine: usize) {
        if !self.engines.is_empty() {
            let place = engine % self.engines.len();
            self.engines.remove(place);
            self.successors.push(self.elapsed() + RESTART);
        }
    }

    /// The process of an engine stands still for so long, and comes back.
    pub fn stall(&mut self, engine: usize, time: Duration) {
        if !self.engines.is_empty() {
            let place = engine % self.engines.len();
            let until = self.elapsed() + time;
            self.engines[place].stand_still(until);
        }
    }

    /// One turn of one engine, or if none has anything to do, time passes until one has. `false` if nothing will ever
    /// happen again by itself. While a handler hangs without a timeout there is always a next heartbeat.
    ///
    /// # Errors
    /// The store's.
    ///
    /// # Panics
    /// When the engines go round in a circle without time passing.
    pub fn step(&mut self) -> Result<bool, StoreError> {
        self.start_engines();
        let now = self.elapsed();
        let Some(Next { at, places }) = self.next(now)? else { return Ok(false) };
        if at > now {
            self.turns_without_time = 0;
            self.clock.move_to(at);
            return Ok(true);
        }
        self.turns_without_time += 1;
        if self.turns_without_time == TURNS_WITHOUT_TIME {
            let change_token = Some(self.store.change_token()?);
            assert!(change_token != self.written_before, "no time passes: the engines go round in a circle");
            (self.written_before, self.turns_without_time) = (change_token, 0);
        }
        let chance = usize::try_from(self.env.jitter().0 % places.len() as u64).unwrap_or(0);
        let Some(place) = places.get(chance).copied().flatten() else { return Ok(true) };
        let shared = self.shared();
        let turned = self.engines[place].turn(&self.clock, &shared, &self.handlers)?;
        if turned.crashed {
            self.crash(place);
        }
        Ok(true)
    }

    fn next(&mut self, now: Duration) -> Result<Option<Next>, StoreError> {
        let change_token = self.store.change_token()?;
        let due = self.store.next_due()?;
        let due = due.map(|due| now + Duration::from_millis(due.millis_since(self.env.now())));
        let wakes = self
            .engines
            .iter_mut()
            .enumerate()
            .filter_map(|(place, engine)| Some((engine.wakes_at(now, change_token, due)?, Some(place))));
        let all: Vec<_> = wakes.chain(self.successors.iter().map(|at| (*at, None))).collect();
        let Some(at) = all.iter().map(|(at, _)| (*at).max(now)).min() else { return Ok(None) };
        let then = all.into_iter().filter(|(one, _)| (*one).max(now) == at).map(|(_, place)| place);
        Ok(Some(Next { at, places: then.collect() }))
    }

    /// Starts the first engines, and successors whose time has come.
    fn start_engines(&mut self) {
        let now = self.elapsed();
        let (come, later): (Vec<_>, Vec<_>) = self.successors.iter().partition(|at| **at <= now);
        self.successors = later;
        let first = self.wanted_engines - self.started.min(self.wanted_engines);
        for _ in 0..first + come.len() {
            let (kinds, keep) = (self.kinds.clone(), None);
            let settings = Settings {
                kinds,
                workers: self.workers,
                lease: self.lease,
                keep,
                most_settled: self.most_settled,
            };
            settings.check().unwrap_or_else(|error| panic!("{error}"));
            let (store, env) = (Arc::clone(&self.store), Arc::clone(&self.env));
            let engine = Scheduler::new(store, env, settings, Prefetch::at_least(self.ahead));
            self.engines.push(SimEngine::new(self.started, engine, self.workers));
            self.started += 1;
        }
    }

    fn shared(&self) -> Arc<Shared> {
        Arc::new(Shared {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock) as Arc<dyn Monotonic>,
            kinds: self.kinds.iter().map(|(kind, _)| kind.clone()).collect(),
            reported: AtomicBool::new(false),
        })
    }

    /// Goes on until the run is settled; the run as it is then.
    ///
    /// # Errors
    /// [`RunError::Blocked`] when nothing will ever happen again by itself, with what the run waits for: above all an
    /// [`Behavior::hang`] without a timeout. [`RunError::Store`], [`RunError::RunNotFound`], [`RunError::Damaged`].
    pub fn run_until_settled(&mut self, run: RunId) -> Result<Run, RunError> {
        let mut hangs_since = None;
        loop {
            let found = self.store.run(run).map_err(failed)?.ok_or(RunError::RunNotFound(run))?;
            if found.state.is_terminal() {
                return Ok(found);
            }
            if self.hangs(run)? {
                // By then, whatever dead engines left behind was taken back and tried again.
                let since = *hangs_since.get_or_insert(self.elapsed());
                if self.elapsed().saturating_sub(since) > 3 * self.lease {
                    return Err(self.blocked(run));
                }
            } else {
                hangs_since = None;
            }
            if !self.step().map_err(failed)? {
                return Err(self.blocked(run));
            }
        }
    }

    /// Whether nothing is left for a run at this moment but attempts that hang and have no timeout.
    fn hangs(&self, run: RunId) -> Result<bool, RunError> {
        let all_hang = self.engines.iter().all(SimEngine::only_hangs);
        if !all_hang || !self.successors.is_empty() || self.hanging().is_empty() {
            return Ok(false);
        }
        let waits = self.store.run_blockers(run, MAX_PAGE).map_err(failed)?;
        let is_handled = waits.ready.iter().any(|kind| self.handles(kind));
        let is_idle = self.engines.iter().any(SimEngine::has_room);
        Ok(!(waits.other_work || is_handled && is_idle))
    }

    /// The tasks whose handlers hang and have no timeout.
    fn hanging(&self) -> Vec<TaskId> {
        self.engines.iter().flat_map(SimEngine::hanging).collect()
    }

    fn handles(&self, kind: &Kind) -> bool {
        self.kinds.iter().any(|(known, _)| known == kind)
    }

    /// Why nothing will happen to a run any more.
    fn blocked(&self, run: RunId) -> RunError {
        let mut waits = match self.store.run_blockers(run, MAX_PAGE) {
            Ok(waits) => waits,
            Err(fault) => return failed(fault),
        };
        waits.ready.retain(|kind| !self.handles(kind));
        let blocked = Blocked {
            run,
            unhandled_kinds: waits.ready,
            external_tasks: waits.external_tasks,
            is_open: waits.open,
            stalled_tasks: self.hanging(),
        };
        let is_empty = blocked.unhandled_kinds.is_empty()
            && blocked.external_tasks.is_empty()
            && blocked.stalled_tasks.is_empty();
        if is_empty && !blocked.is_open { RunError::Inconsistent(run) } else { RunError::Blocked(blocked) }
    }
}

fn failed(fault: StoreError) -> RunError {
    RunError::Store(Arc::new(fault))
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let engines: Vec<usize> = self.engines.iter().map(|engine| engine.number).collect();
        f.debug_struct("Simulation")
            .field("elapsed", &self.elapsed())
            .field("engines", &engines)
            .finish_non_exhaustive()
    }
}

/// When something happens next, and to which engines; `None` stands for a successor.
struct Next {
    at: Duration,
    places: Vec<Option<usize>>,
}

/// The clock on the wall of a simulation.
struct Wall(Arc<VirtualClock>);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Clock::now(&*self.0)
    }
}
