//! How an engine is described.

use super::error::BuildError;
use super::scheduler::{MOST_SETTLED, Settings};
use super::warning::{Listener, Warning};
use super::{Engine, EngineConfig};
use crate::handler::{Call, Handler};
use crate::store::EngineStore;
use conductor_model::{DEFAULT_LEASE_MS, Kind, MAX_LEASE_MS};
use conductor_store::Environment;
use std::collections::HashMap;
use std::io::Write as _;
use std::num::NonZero;
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The most attempts that one engine may run at once.
pub const MAX_WORKERS: u32 = 10_000;
/// The shortest lease: a heartbeat must come through a busy database in a third of it.
const MIN_LEASE: Duration = Duration::from_millis(100);
/// Whoever waits for a run reads it after its end.
const MIN_KEEP: Duration = Duration::from_secs(1);

/// Describes an [`Engine`]: its handlers, and how many of them run at once.
pub struct EngineBuilder {
    store: Arc<dyn EngineStore>,
    env: Arc<Environment>,
    handlers: Vec<(String, Call)>,
    limits: HashMap<String, u32>,
    workers: u32,
    spare_threads: u32,
    lease: Duration,
    keep: Option<Duration>,
    waits_for_others: bool,
    listener: Listener,
    #[cfg(feature = "tokio")]
    runtime: Option<tokio::runtime::Handle>,
}

impl EngineBuilder {
    pub(super) fn new(store: Arc<dyn EngineStore>) -> Self {
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
            keep: None,
            waits_for_others: false,
            listener: Box::new(print),
            #[cfg(feature = "tokio")]
            runtime: None,
        }
    }

    /// Handles tasks of a kind with a function: see [`Handler`].
    pub fn handler<M>(mut self, kind: impl Into<String>, handler: impl Handler<M>) -> Self {
        self.handlers.push((kind.into(), handler.erased().0));
        self
    }

    /// At most so many tasks of a kind at once; as many as there are workers by default. A plain handler that goes on after
    /// its time was over no longer counts: the limit is no lock.
    pub fn kind_limit(mut self, kind: impl Into<String>, most: u32) -> Self {
        self.limits.insert(kind.into(), most);
        self
    }

    /// How many tasks run at once: 1 to [`MAX_WORKERS`], as many as the machine has cores by default.
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// How many threads may be made beyond the workers, to take the place of those whose handler goes on after its time;
    /// as many as the machine has cores by default.
    pub fn spare_threads(mut self, threads: u32) -> Self {
        self.spare_threads = threads;
        self
    }

    /// How long a claim holds when this engine gives no sign of life: 100 ms to a day, 30 s by default. The death of a
    /// process on the same machine is noticed at once; the lease is for those that stand still.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Removes runs that ended so long ago, at least a second, with all that belongs to them: whoever works on the store
    /// shares in it. It goes at a low pace beside the work. For ever by default; see [`prune`](crate::steps::prune).
    pub fn retention(mut self, time: Duration) -> Self {
        self.keep = Some(time);
        self
    }

    /// [`Engine::run_until_settled`] goes on waiting when only tasks of kinds without a handler here, or tasks that are
    /// held from outside, are left. Engines that divide the kinds of a run among them need this: what another one handles
    /// is ready for a moment before it is claimed.
    pub fn wait_for_external_work(mut self) -> Self {
        self.waits_for_others = true;
        self
    }

    /// Who is told of warnings; by default they are printed to standard error. It is called by the engine's own thread,
    /// which waits for it.
    pub fn on_warning(mut self, listener: impl Fn(&Warning) + Send + Sync + 'static) -> Self {
        self.listener = Box::new(listener);
        self
    }

    /// Where time, ids and chance come from; the machine by default.
    pub fn environment(mut self, env: Environment) -> Self {
        self.env = Arc::new(env);
        self
    }

    /// The Tokio runtime on which asynchronous handlers run; without one, the engine makes its own. Waiting for the engine,
    /// or dropping it, blocks the thread: on a runtime with a single thread, do neither in that thread.
    #[cfg(feature = "tokio")]
    pub fn runtime(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Checks everything. The engine begins to work when it is asked to run or to start.
    ///
    /// # Errors
    /// [`BuildError`]
    pub fn build(self) -> Result<Engine, BuildError> {
        if self.spare_threads > MAX_WORKERS {
            return out_of_range("spare_threads", format!("at most {MAX_WORKERS}"));
        }
        let mut limits = self.limits;
        let (mut kinds, mut handlers) = (Vec::new(), Vec::new());
        for (name, call) in self.handlers {
            let kind = Kind::from_str(&name)
                .map_err(|issue| BuildError::InvalidKind { kind: name.clone(), why: issue.to_string() })?;
            if kinds.iter().any(|(known, _)| *known == kind) {
                return Err(BuildError::DuplicateHandler(kind));
            }
            kinds.push((kind, limits.remove(&name)));
            handlers.push(call);
        }
        if let Some(kind) = limits.into_keys().min() {
            return Err(BuildError::LimitWithoutHandler(kind));
        }
        let settings = Settings {
            kinds,
            workers: self.workers,
            lease: self.lease,
            keep: self.keep,
            most_settled: MOST_SETTLED,
        };
        settings.check()?;
        Ok(Engine::of(EngineConfig {
            store: self.store,
            env: self.env,
            settings,
            handlers,
            spare_threads: self.spare_threads,
            waits_for_others: self.waits_for_others,
            listener: self.listener,
            #[cfg(feature = "tokio")]
            runtime: self.runtime,
        }))
    }
}

/// Unlike `eprintln!`, without a panic when nobody reads standard error any more.
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
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Whether an engine can work with these, a real or a simulated one.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        if !(1..=MAX_WORKERS).contains(&self.workers) {
            return out_of_range("workers", format!("in 1..={MAX_WORKERS}"));
        }
        if !(MIN_LEASE..=Duration::from_millis(MAX_LEASE_MS)).contains(&self.lease) {
            return out_of_range("lease", "between 100 ms and a day".into());
        }
        if self.keep.is_some_and(|keep| keep < MIN_KEEP) {
            return out_of_range("keep_settled_for", "at least a second".into());
        }
        if self.kinds.iter().any(|(_, limit)| *limit == Some(0)) {
            return out_of_range("the limit of a kind", "at least 1".into());
        }
        Ok(())
    }
}

fn out_of_range<T>(what: &'static str, range: String) -> Result<T, BuildError> {
    Err(BuildError::OutOfRange { what, range })
}
