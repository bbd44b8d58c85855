//! Tests of retries, timeouts and crashes that take hours, in microseconds: engines without threads, on a virtual clock.
//!
//! A [`Simulation`] takes the turns of its engines one after the other, in an order that depends only on a seed. The
//! engines run the code of a real [`Engine`](crate::Engine). Handlers are functions of the user, or scripts that decide how
//! long an attempt takes, how it fails, and when the process crashes. Time passes only when no engine has work.
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
//!         return Err(TaskError::retry("cancelled"));
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
//! // The crash ended the first attempt of `flaky`, and the restart took a second. Then came backoffs of one and of two
//! // minutes, and two attempts of 90 seconds.
//! assert_eq!(simulation.elapsed().as_secs() / 10, (60 + 90 + 120 + 90) / 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod behavior;
mod clock;
mod engine;
mod livelock;
mod processes;
mod run;
mod setup;
mod workers;

pub use behavior::Behavior;

use crate::engine_store::EngineStore;
use crate::handler::clock::Monotonic as _;
use crate::handler::{Context, Handler, SyncHandler};
use clock::{SystemTime, VirtualClock};
use conductor_model::{RunDraft, RunId, Timestamp};
use conductor_store::{Environment, Submit, SubmitError};
use livelock::LivelockCheck;
use processes::Processes;
use setup::Setup;
use std::sync::Arc;
use std::time::Duration;
use workers::SimHandler;

/// Engines on one store and one virtual clock, in one thread.
pub struct Simulation {
    store: Arc<dyn EngineStore>,
    clock: Arc<VirtualClock>,
    env: Arc<Environment>,
    setup: Setup,
    processes: Processes,
    livelock: LivelockCheck,
}

impl Simulation {
    /// Creates a simulation of one engine with four workers. The same seed repeats the same simulation.
    pub fn new(store: impl EngineStore + 'static, seed: u64) -> Self {
        let clock = Arc::new(VirtualClock::default());
        let env = Arc::new(Environment::seeded(SystemTime(Arc::clone(&clock)), seed));
        Self {
            store: Arc::new(store),
            clock,
            env,
            setup: Setup::default(),
            processes: Processes::default(),
            livelock: LivelockCheck::default(),
        }
    }

    /// Adds the handler for tasks of `kind`. It is called when its attempt starts, and takes the time for which it calls
    /// [`Context::sleep`].
    ///
    /// # Panics
    /// If the kind is invalid, or has a handler.
    #[track_caller]
    pub fn handler<M: SyncHandler>(mut self, kind: &str, handler: impl Handler<M>) -> Self {
        self.setup.add(kind, SimHandler::Function(handler.erased().0));
        self
    }

    /// Adds a scripted handler for tasks of `kind`.
    ///
    /// # Panics
    /// If the kind is invalid, or has a handler.
    #[track_caller]
    pub fn script(mut self, kind: &str, script: impl Fn(&Context) -> Behavior + 'static) -> Self {
        self.setup.add(kind, SimHandler::Script(Box::new(script)));
        self
    }

    /// Limits the kind of the last [`handler`](Self::handler) or [`script`](Self::script) call: sets how many of its tasks
    /// each engine runs concurrently. Default: no limit except the workers.
    pub fn kind_limit(mut self, max: u32) -> Self {
        self.setup.limit_last_kind(max);
        self
    }

    /// Sets the number of engines. Default and minimum: 1.
    pub fn engines(mut self, engines: usize) -> Self {
        self.setup.engines = engines.max(1);
        self
    }

    /// Sets how many tasks each engine runs concurrently. Default: 4.
    pub fn workers(mut self, workers: u32) -> Self {
        self.setup.workers = workers;
        self
    }

    /// Sets how many tasks each engine prefetches at least. Default: 0. A real engine decides it by the duration of
    /// attempts.
    pub fn prefetch(mut self, tasks: u32) -> Self {
        self.setup.prefetch = tasks;
        self
    }

    /// Sets how long a claim is valid without a heartbeat. Default: 30 s.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.setup.lease = lease;
        self
    }

    /// Sets how many bytes of outputs and errors one transaction settles, about; it settles at least one result.
    pub fn max_settle_bytes(mut self, bytes: usize) -> Self {
        self.setup.max_settle_bytes = bytes;
        self
    }

    /// Does not wake engines after writes. They notice writes when they poll.
    pub fn lose_wake_ups(mut self) -> Self {
        self.setup.loses_wake_ups = true;
        self
    }

    /// Returns the clock, the ids and the random numbers of the simulation.
    pub fn environment(&self) -> &Environment {
        &self.env
    }

    /// Returns the system time of the simulation.
    pub fn now(&self) -> Timestamp {
        self.env.now()
    }

    /// Returns how much time has passed since the simulation began.
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Advances the time. No engine takes a turn meanwhile.
    pub fn advance(&self, time: Duration) {
        self.clock.move_to(self.elapsed().saturating_add(time));
    }

    /// Sets the error of the system clock: from now on it differs from the true time by `millis`.
    pub fn set_clock_offset_ms(&mut self, millis: i64) {
        self.clock.set_offset_ms(millis);
        // Engines look for work four times a second, independent of the system clock.
        self.processes.wake_all();
    }

    /// Submits a run. The seed chooses the engine, or none.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was written.
    pub fn submit(&mut self, run: impl std::borrow::Borrow<RunDraft>) -> Result<RunId, SubmitError> {
        let request = Submit::new(run.borrow().validate()?, &self.env);
        let now = self.elapsed();
        let engines = &mut self.processes.engines;
        let random = self.env.jitter().0 % (engines.len() as u64 + 1);
        let engine = usize::try_from(random).ok().and_then(|i| engines.get_mut(i));
        let claimed = engine.map_or(Ok(None), |engine| engine.submit(now, &request))?;
        let submitted = claimed.map_or_else(|| self.store.submit(&request), Ok)?;
        self.wake();
        Ok(submitted.run)
    }

    /// Wakes the engines. Call it after a request to the store.
    pub fn wake(&mut self) {
        if !self.setup.loses_wake_ups {
            self.processes.wake_all();
        }
    }

    /// Crashes the process of an engine. Another engine starts a second later. `engine` is the position among the engines
    /// that run, modulo their number.
    pub fn crash(&mut self, engine: usize) {
        self.processes.crash(self.elapsed(), engine);
    }

    /// Suspends the process of an engine for `time`. `engine` is the position among the engines that run, modulo their
    /// number.
    pub fn stall(&mut self, engine: usize, time: Duration) {
        self.processes.suspend(self.elapsed() + time, engine);
    }
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let engines: Vec<usize> = self.processes.engines.iter().map(|engine| engine.number).collect();
        f.debug_struct("Simulation")
            .field("elapsed", &self.elapsed())
            .field("engines", &engines)
            .finish_non_exhaustive()
    }
}
