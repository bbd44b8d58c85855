//! Builds engines.

use super::Engine;
use super::config::{EngineConfig, MAX_WORKERS, PoolConfig, Settings, out_of_range};
use super::error::BuildError;
use super::scheduler::MAX_SETTLE_BYTES;
use super::warning::{Listener, Warning};
use crate::engine_store::EngineStore;
use crate::handler::Handler;
use crate::handler::call::Call;
use conductor_model::{DEFAULT_LEASE_MS, Kind};
use conductor_store::Environment;
use std::collections::HashMap;
use std::io::Write as _;
use std::num::NonZero;
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Builds an [`Engine`]: its handlers, and how many of them run concurrently.
pub struct EngineBuilder {
    store: Arc<dyn EngineStore>,
    env: Arc<Environment>,
    handlers: Vec<(String, Call)>,
    limits: HashMap<String, u32>,
    workers: u32,
    spare_threads: u32,
    lease: Duration,
    retention: Option<Duration>,
    waits_for_external_work: bool,
    listener: Listener,
    #[cfg(feature = "tokio")]
    runtime: Option<tokio::runtime::Handle>,
}

impl Engine {
    /// Creates a builder for an engine on this store: a store, or an `Arc` of one.
    pub fn builder(store: impl EngineStore + 'static) -> EngineBuilder {
        EngineBuilder::new(Arc::new(store))
    }
}

impl EngineBuilder {
    fn new(store: Arc<dyn EngineStore>) -> Self {
        let workers = thread::available_parallelism().map_or(1, NonZero::get);
        let workers = u32::try_from(workers).unwrap_or(MAX_WORKERS);
        Self {
            store,
            env: Arc::new(Environment::system()),
            handlers: Vec::new(),
            limits: HashMap::new(),
            workers,
            spare_threads: workers,
            lease: Duration::from_millis(DEFAULT_LEASE_MS),
            retention: None,
            waits_for_external_work: false,
            listener: Box::new(print),
            #[cfg(feature = "tokio")]
            runtime: None,
        }
    }

    /// Adds the handler for tasks of `kind`: see [`Handler`].
    pub fn handler<M>(mut self, kind: impl Into<String>, handler: impl Handler<M>) -> Self {
        self.handlers.push((kind.into(), handler.erased().0));
        self
    }

    /// Sets how many tasks of `kind` this engine runs concurrently. Minimum: 1. Default: no limit except the workers.
    ///
    /// A synchronous handler that continues after its timeout does not count, so the limit is not a mutual exclusion.
    pub fn kind_limit(mut self, kind: impl Into<String>, max: u32) -> Self {
        self.limits.insert(kind.into(), max);
        self
    }

    /// Sets how many tasks this engine runs concurrently: 1 to [`MAX_WORKERS`]. Default: the number of CPU cores.
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// Sets how many threads may replace those whose handlers continue after their timeout: 0 to [`MAX_WORKERS`].
    /// Default: the number of CPU cores.
    pub fn spare_threads(mut self, threads: u32) -> Self {
        self.spare_threads = threads;
        self
    }

    /// Sets how long a claim is valid without a heartbeat: 100 ms to one day. Default: 30 s.
    ///
    /// The lease matters for processes that are suspended. The death of a process is noticed at once.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Prunes runs, with all their rows, this long after they have settled. Minimum: one second. Default: runs are kept
    /// forever.
    ///
    /// Each engine with a retention prunes all runs of the store, at a low rate: see [`prune`](crate::steps::prune).
    pub fn retention(mut self, time: Duration) -> Self {
        self.retention = Some(time);
        self
    }

    /// Lets [`Engine::run_until_settled`] wait for tasks that only another engine or another program can do. Default: it
    /// returns [`RunError::Blocked`](crate::RunError::Blocked) if nothing else of the run is left.
    ///
    /// It is necessary if the kinds of a run are divided among several engines.
    pub fn wait_for_external_work(mut self) -> Self {
        self.waits_for_external_work = true;
        self
    }

    /// Sets the function that receives warnings. Default: they are printed to standard error.
    ///
    /// The engine's own thread calls it, and waits until it returns.
    pub fn on_warning(mut self, listener: impl Fn(&Warning) + Send + Sync + 'static) -> Self {
        self.listener = Box::new(listener);
        self
    }

    /// Sets the clock, the ids and the random numbers of the engine. Default: those of the system.
    pub fn environment(mut self, env: Environment) -> Self {
        self.env = Arc::new(env);
        self
    }

    /// Sets the Tokio runtime of the asynchronous handlers. Default: the engine creates one.
    ///
    /// Waiting for the engine, or dropping it, blocks the thread. Do neither on the only thread of this runtime.
    #[cfg(feature = "tokio")]
    pub fn runtime(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Builds the engine. It works when it is started, or when a run is waited for.
    ///
    /// # Errors
    /// [`BuildError`]: a kind is invalid, or has two handlers, or has a limit but no handler, or a setting is out of its
    /// range.
    pub fn build(self) -> Result<Engine, BuildError> {
        if self.spare_threads > MAX_WORKERS {
            return out_of_range("spare_threads", &self.spare_threads, format!("at most {MAX_WORKERS}"));
        }
        let (kinds, handlers) = kinds_and_handlers(self.handlers, self.limits)?;
        let settings = Settings {
            kinds,
            workers: self.workers,
            lease: self.lease,
            max_settle_bytes: MAX_SETTLE_BYTES,
            retention: self.retention,
        };
        settings.validate()?;
        Ok(Engine::new(EngineConfig {
            store: self.store,
            env: self.env,
            settings,
            pool: PoolConfig {
                workers: self.workers,
                spare_threads: self.spare_threads,
                handlers,
                #[cfg(feature = "tokio")]
                runtime: self.runtime,
            },
            waits_for_external_work: self.waits_for_external_work,
            listener: self.listener,
        }))
    }
}

/// The kinds with their limits, and their handlers in the same order.
type KindsAndHandlers = (Vec<(Kind, Option<u32>)>, Vec<Call>);

fn kinds_and_handlers(
    named: Vec<(String, Call)>,
    mut limits: HashMap<String, u32>,
) -> Result<KindsAndHandlers, BuildError> {
    let (mut kinds, mut handlers) = (Vec::new(), Vec::new());
    for (name, call) in named {
        let kind = Kind::from_str(&name)
            .map_err(|issue| BuildError::InvalidKind { kind: name.clone(), error: issue.to_string() })?;
        if kinds.iter().any(|(known, _)| *known == kind) {
            return Err(BuildError::DuplicateHandler(kind));
        }
        kinds.push((kind, limits.remove(&name)));
        handlers.push(call);
    }
    match limits.into_keys().min() {
        Some(kind) => Err(BuildError::LimitWithoutHandler(kind)),
        None => Ok((kinds, handlers)),
    }
}

/// Prints a warning. Unlike `eprintln!` it does not panic if standard error is closed.
fn print(warning: &Warning) {
    let _ = writeln!(std::io::stderr(), "conductor: {warning}");
}

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds: Vec<_> = self.handlers.iter().map(|(kind, _)| kind).collect();
        f.debug_struct("EngineBuilder")
            .field("kinds", &kinds)
            .field("limits", &self.limits)
            .field("workers", &self.workers)
            .field("lease", &self.lease)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}
