//! The engine: it claims ready tasks, runs their handlers, records what became of them, and takes the steps that follow.
//!
//! One thread coordinates (`coordinator.rs`): turn by turn it hands results to the store and takes the next claims, in one
//! transaction (`core.rs`), and carries out the steps. Other threads run the handlers (`pool.rs`). Between the two there is
//! a queue on one side and a mailbox on the other. Whoever submits while it waits claims in its place (`crew.rs`).

mod builder;
pub(crate) mod completion;
mod coordinator;
mod error;
mod mailbox;
pub(crate) mod pool;
mod requests;
pub(crate) mod scheduler;
mod shared;
mod store_retry;
mod trace;
mod warning;

pub use builder::{EngineBuilder, MAX_WORKERS};
pub use error::{Blocked, BuildError, RunError};
pub use warning::Warning;

use crate::event_signal::EventSignal;
use crate::handler::Call;
use crate::handler::clock::{MachineClock, Monotonic};
use crate::handler::context::Shared;
use crate::store::EngineStore;
use crate::subscription::Subscription;
use completion::{Completion, EngineEnd};
use conductor_model::{Kind, Run, RunDraft, RunId, Timestamp};
use conductor_store::{Environment, MAX_PAGE, StoreError, Submit, SubmitError};
use coordinator::Coordinator;
use coordinator::progress_writer::ProgressWriter;
use coordinator::write_watcher::WriteWatcher;
use mailbox::Mailbox;
use pool::{Pool, Queue};
use scheduler::{Scheduler, Settings, prefetch::Prefetch};
use shared::SharedScheduler;
use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use store_retry::StoreRetry;
use warning::{Listener, Warnings};

/// How many of each that a run waits for an error names.
const NAMED: usize = 10;
/// How often whoever waits for a run looks at it, if nobody says that something was settled.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often it asks what the run waits for.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Runs tasks, in this process, out of a store that other engines may share.
pub struct Engine {
    store: Arc<dyn EngineStore>,
    env: Arc<Environment>,
    kinds: HashSet<Kind>,
    waits_for_others: bool,
    mailbox: Arc<Mailbox>,
    progress: Arc<Completion>,
    events: Arc<EventSignal>,
    /// What works, once it has begun and until it ends.
    crew: OnceLock<Weak<SharedScheduler>>,
    /// What the threads are made of, until they are.
    idle: Mutex<Option<EngineConfig>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What an engine is made of.
pub(crate) struct EngineConfig {
    store: Arc<dyn EngineStore>,
    env: Arc<Environment>,
    settings: Settings,
    handlers: Vec<Call>,
    spare_threads: u32,
    waits_for_others: bool,
    listener: Listener,
    #[cfg(feature = "tokio")]
    runtime: Option<tokio::runtime::Handle>,
}

impl Engine {
    /// Describes an engine that works on this store: a store itself, or an `Arc` of one that others use too.
    pub fn builder(store: impl EngineStore + 'static) -> EngineBuilder {
        EngineBuilder::new(Arc::new(store))
    }

    fn of(parts: EngineConfig) -> Self {
        Self {
            store: Arc::clone(&parts.store),
            env: Arc::clone(&parts.env),
            kinds: parts.settings.kinds.iter().map(|(kind, _)| kind.clone()).collect(),
            waits_for_others: parts.waits_for_others,
            mailbox: Arc::default(),
            progress: Arc::default(),
            events: Arc::default(),
            crew: OnceLock::new(),
            idle: Mutex::new(Some(parts)),
            thread: Mutex::default(),
        }
    }

    /// The store that it works on.
    pub fn store(&self) -> &dyn EngineStore {
        &*self.store
    }

    /// Time, ids and chance as this engine sees them: for requests to its store, such as an append. Say
    /// [`Engine::wake`] after one.
    pub fn environment(&self) -> &Environment {
        &self.env
    }

    /// Submits a run, and wakes the engine. If it was idle, what it can begin is claimed in the same transaction.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was written.
    pub fn submit(&self, run: impl std::borrow::Borrow<RunDraft>) -> Result<RunId, SubmitError> {
        let request = Submit::new(run.borrow().validate()?, &self.env);
        let begun = self.crew().map_or(Ok(None), |crew| crew.submit(&request));
        let submitted = begun.and_then(|begun| begun.map_or_else(|| self.store.submit(&request), Ok));
        // Also after an error: a commit of unknown fate may have left something to do.
        self.wake();
        Ok(submitted?.run)
    }

    /// What works, while it does.
    fn crew(&self) -> Option<Arc<SharedScheduler>> {
        self.crew.get().and_then(Weak::upgrade)
    }

    /// Says that something was written to the store by other means: the engine looks at once, instead of within 50 ms.
    pub fn wake(&self) {
        self.mailbox.wake();
        self.events.ring();
    }

    /// Begins to work, in the background, on all runs in the store; a second time it does nothing.
    ///
    /// # Panics
    /// When the system has no thread left for it.
    pub fn start(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(parts) = idle.take() else { return };
        let coordinator = self.coordinator(parts);
        let thread = thread::Builder::new().name(ENGINE_THREAD.into()).spawn(move || coordinator.run());
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(thread.expect("the system gives a thread to an engine"));
    }

    fn coordinator(&self, parts: EngineConfig) -> Coordinator {
        let clock: Arc<dyn Monotonic> = Arc::new(MachineClock::start());
        let kinds: Vec<Kind> = parts.settings.kinds.iter().map(|(kind, _)| kind.clone()).collect();
        let workers = parts.settings.workers;
        let core = Scheduler::new(
            Arc::clone(&parts.store),
            Arc::clone(&parts.env),
            parts.settings,
            Prefetch::at_least(0),
        );
        let shared = Arc::new(Shared {
            store: Arc::clone(&parts.store),
            clock: Arc::clone(&clock),
            kinds: kinds.clone(),
            reported: AtomicBool::new(false),
        });
        let pool = Pool {
            workers,
            spare: parts.spare_threads,
            handlers: parts.handlers,
            shared: Arc::clone(&shared),
            mailbox: Arc::clone(&self.mailbox),
            trust: core.trust(),
            #[cfg(feature = "tokio")]
            runtime: crate::handler::async_runtime::Runtime::of(parts.runtime),
            queue: Mutex::new(Queue::default()),
            work: Condvar::new(),
            alive: Arc::default(),
        };
        let crew = Arc::new(SharedScheduler::of(core, Arc::new(pool)));
        // A new cell is empty: this is called once.
        let _ = self.crew.set(Arc::downgrade(&crew));
        let write_notifier = parts.store.write_notifier();
        Coordinator {
            watcher: write_notifier
                .and_then(|write_notifier| WriteWatcher::start(write_notifier, Arc::clone(&self.mailbox))),
            crew,
            mailbox: Arc::clone(&self.mailbox),
            progress: Arc::clone(&self.progress),
            events: Arc::clone(&self.events),
            writer: ProgressWriter::new(shared),
            store: parts.store,
            env: parts.env,
            clock,
            warnings: Warnings::new(kinds, parts.listener),
            looks_at: Duration::from_secs(1),
            turn_began: Timestamp::MIN,
            nap: coordinator::FIRST_NAP,
        }
    }

    /// Works until the run is settled, by whichever engine; the run as it is then.
    ///
    /// The engine works on other runs meanwhile, and goes on in the background afterwards. It blocks the thread.
    ///
    /// # Errors
    /// [`RunError`]: among others when nothing is left of the run but tasks that this engine cannot move, which are
    /// named.
    pub fn run_until_settled(&self, run: RunId) -> Result<Run, RunError> {
        self.start();
        let (started, mut patience) = (Instant::now(), StoreRetry::default());
        let mut asks_at = started;
        loop {
            let (seen, end) = self.progress.seen();
            let is_over = end.is_some();
            // What it waits for costs more to find out than whether it is settled.
            let asks = !self.waits_for_others && Instant::now() >= asks_at;
            if asks {
                asks_at = Instant::now() + ASK_EVERY;
            }
            match self.look(run, end, asks) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => patience = StoreRetry::default(),
                Err(RunError::Store(fault))
                    if !is_over && patience.is_left(&fault, started.elapsed(), self.mailbox.stop_wish()) => {}
                Err(error) => return Err(error),
            }
            self.progress.wait(seen, LOOK_EVERY);
        }
    }

    /// The run, if it is settled, and why it will not be by this engine. `end` is how the engine ended before this look.
    fn look(&self, run: RunId, end: Option<EngineEnd>, asks: bool) -> Result<Option<Run>, RunError> {
        let found = self.store.run(run).map_err(failed)?.ok_or(RunError::RunNotFound(run))?;
        if found.state.is_terminal() {
            return Ok(Some(found));
        }
        match end {
            Some(EngineEnd::Stopped) => return Err(RunError::Stopped),
            Some(end) => end.without_a_stop()?,
            None => {}
        }
        if asks { self.blocked(run) } else { Ok(None) }
    }

    /// An error if nothing is left of a run but what this engine cannot move; the run, if it is settled by now.
    fn blocked(&self, run: RunId) -> Result<Option<Run>, RunError> {
        // All of them, not the first few: the one that this engine handles may come last.
        let mut waits = self.store.run_blockers(run, MAX_PAGE).map_err(failed)?;
        if waits.is_nothing() {
            // Settled since it was looked at, or never.
            let found = self.store.run(run).map_err(failed)?.ok_or(RunError::RunNotFound(run))?;
            return if found.state.is_terminal() {
                Ok(Some(found))
            } else {
                Err(RunError::Inconsistent(run))
            };
        }
        let is_handled = waits.ready.iter().any(|kind| self.kinds.contains(kind));
        if waits.claimed || waits.open || waits.other_work || is_handled {
            return Ok(None);
        }
        waits.ready.truncate(NAMED);
        waits.external_tasks.truncate(NAMED);
        let (unhandled, outside) = (waits.ready, waits.external_tasks);
        Err(RunError::Blocked(Blocked {
            run,
            unhandled_kinds: unhandled,
            external_tasks: outside,
            is_open: false,
            stalled_tasks: Vec::new(),
        }))
    }

    /// Works until it is stopped.
    ///
    /// # Errors
    /// [`RunError::Store`] when the store cannot go on, [`RunError::RuntimeShutDown`] and [`RunError::Panicked`].
    pub fn run_forever(&self) -> Result<(), RunError> {
        self.start();
        self.progress.wait_for_the_end().without_a_stop()
    }

    /// Every event of the store after that `seq`, those that are there and those that come; 0 from the first one on. What this
    /// engine does is noticed at once, what others do within 50 ms. It never holds the engine up.
    pub fn subscribe(&self, after: u64) -> Subscription {
        let store: Arc<dyn EngineStore> = Arc::clone(&self.store);
        Subscription::of(store, Arc::clone(&self.events), after)
    }

    /// Something that can stop the engine from anywhere: another thread, a signal handler.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle { mailbox: Arc::clone(&self.mailbox) }
    }
}

/// The names of an engine's threads.
const ENGINE_THREAD: &str = "conductor-engine";
pub(crate) const WORKER_THREAD: &str = "conductor-worker";

/// Whether this thread is an engine's: waiting for an engine there could be waiting for oneself.
fn is_an_engines_thread() -> bool {
    thread::current().name().is_some_and(|name| [ENGINE_THREAD, WORKER_THREAD].contains(&name))
}

/// Dropping an engine stops it gracefully, and waits for it, unless a plain handler or a listener drops it.
impl Drop for Engine {
    fn drop(&mut self) {
        if self.mailbox.stop_wish().is_none() {
            self.mailbox.stop();
        }
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && !is_an_engines_thread()
        {
            // A panic of the coordinator was shown when it happened.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("kinds", &self.kinds).finish_non_exhaustive()
    }
}

/// Stops an engine.
#[derive(Clone, Debug)]
pub struct StopHandle {
    mailbox: Arc<Mailbox>,
}

impl StopHandle {
    /// Asks the engine to stop. It claims nothing more, hands back what has not begun, and ends when what runs has
    /// finished. Asked a second time it stops at once: what runs is handed back too, and done again by whoever claims it
    /// next.
    pub fn stop(&self) {
        self.mailbox.stop();
    }

    /// Asks the engine to stop at once.
    pub fn stop_now(&self) {
        self.mailbox.stop_now();
    }
}

fn failed(fault: StoreError) -> RunError {
    RunError::Store(Arc::new(fault))
}
