//! The engine: it claims ready tasks, runs their handlers, records what became of them, and takes the steps that follow.
//!
//! One thread coordinates (`coordinator.rs`): turn by turn it hands results to the store and takes the next claims, in one
//! transaction (`core.rs`), and carries out the steps. Other threads run the handlers (`pool.rs`). Between the two there is
//! a queue on one side and a mailbox on the other. Whoever submits while it waits claims in its place (`crew.rs`).

pub(crate) mod ahead;
pub(crate) mod bell;
mod builder;
mod coordinator;
pub(crate) mod core;
mod crew;
mod damage;
mod error;
mod mailbox;
mod patience;
pub(crate) mod pool;
pub(crate) mod progress;
mod warning;
mod watcher;
mod writer;

pub use builder::{EngineBuilder, MAX_WORKERS};
pub use error::{Blocked, BuildError, NotSubmitted, RunError};
pub use warning::Warning;

use crate::clock::{MachineClock, Monotonic};
use crate::context::Shared;
use crate::handler::Call;
use crate::store::EngineStore;
use crate::subscription::Subscription;
use ahead::Ahead;
use bell::Bell;
use conductor_model::{
    ErrorText, Explanation, Kind, Reason, Run, RunDraft, RunId, Subjected, TaskId, Timestamp,
};
use conductor_store::{
    Cancel, CancelError, Cancelled, Fault, MAX_PAGE, ParentId, Revivable, Revive, ReviveError, Revived,
    Source, Submit,
};
use coordinator::Coordinator;
use core::{Core, Settings};
use crew::Crew;
use mailbox::Mailbox;
use patience::Patience;
use pool::{Pool, Queue};
use progress::{End, Progress};
use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use warning::{Listener, Warnings};
use watcher::Watcher;
use writer::ProgressWriter;

/// How many of each that a run waits for an error names.
const NAMED: usize = 10;
/// How often whoever waits for a run looks at it, if nobody says that something was settled.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often it asks what the run waits for.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Runs tasks, in this process, out of a store that other engines may share.
pub struct Engine {
    store: Arc<dyn EngineStore>,
    source: Arc<Source>,
    kinds: HashSet<Kind>,
    waits_for_others: bool,
    mailbox: Arc<Mailbox>,
    progress: Arc<Progress>,
    bell: Arc<Bell>,
    /// What works, once it has begun and until it ends.
    crew: OnceLock<Weak<Crew>>,
    /// What the threads are made of, until they are.
    idle: Mutex<Option<Parts>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What an engine is made of.
pub(crate) struct Parts {
    store: Arc<dyn EngineStore>,
    source: Arc<Source>,
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

    fn of(parts: Parts) -> Self {
        Self {
            store: Arc::clone(&parts.store),
            source: Arc::clone(&parts.source),
            kinds: parts.settings.kinds.iter().map(|(kind, _)| kind.clone()).collect(),
            waits_for_others: parts.waits_for_others,
            mailbox: Arc::default(),
            progress: Arc::default(),
            bell: Arc::default(),
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
    /// [`Engine::nudge`] after one.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Cancels a task with all below it, or a run, and says why. What runs is told so through its [`Context`](crate::Context)
    /// and recorded as CANCELLED.
    ///
    /// # Errors
    /// [`CancelError`]; nothing was written.
    pub fn cancel(
        &self,
        target: impl Into<ParentId>,
        reason: impl Into<ErrorText>,
    ) -> Result<Cancelled, CancelError> {
        let (target, reason) = (target.into(), Some(reason.into()));
        let cancelled = self.store.cancel(&Cancel { target, reason, now: self.source.now() })?;
        self.mailbox.nudge();
        Ok(cancelled)
    }

    /// Tries one leaf again that failed for good or was cancelled. Exactly what is above it goes on.
    ///
    /// # Errors
    /// [`ReviveError`]; nothing was written.
    pub fn revive(&self, leaf: TaskId) -> Result<Revived, ReviveError> {
        let revived = self.store.revive(&Revive::leaf(leaf, self.source.now()))?;
        self.mailbox.nudge();
        Ok(revived)
    }

    /// Tries all leaves below a parent, or of a run, again that ended so: see [`revive_all`](crate::revive_all()).
    ///
    /// # Errors
    /// [`ReviveError`]; what earlier transactions revived stays so, and a second call goes on.
    pub fn revive_all(&self, below: impl Into<ParentId>, which: Revivable) -> Result<Revived, ReviveError> {
        let revived = crate::revive_all(&*self.store, below, which, &self.source);
        self.mailbox.nudge();
        revived
    }

    /// Why a run or a task is where it is, down to what it waits for; `None` if there is no such run or task. The store says
    /// all that anybody can know; this engine adds which of its own handlers ignore that their time is over.
    ///
    /// ```
    /// # use conductor_model::{RunDraft, TaskDraft};
    /// # use conductor_store::SqliteStore;
    /// # use conductor_workers::Engine;
    /// let engine = Engine::builder(SqliteStore::open_in_memory()?).build()?;
    /// let run = engine.submit(RunDraft::new().task(TaskDraft::new("resize")))?;
    /// let why = engine.explain(run)?.unwrap().to_string();
    /// assert!(why.contains("waits for 1 of 1 children"), "{why}");
    /// assert!(why.ends_with("but no engine handles kind resize"), "{why}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Fault`]
    pub fn explain(&self, subject: impl Into<ParentId>) -> Result<Option<Explanation>, Fault> {
        let mut explanation = self.store.explain(subject.into(), self.source.now())?;
        let crew = self.crew();
        let mut deepest = explanation.as_mut();
        while let Some(one) = deepest {
            if let (Subjected::Task { id, .. }, None, Some(crew)) = (&one.subject, &one.because, &crew)
                && crew.pool.is_deaf(*id)
            {
                let (subject, state) = (one.subject.clone(), one.state);
                let reason = Reason::HandlerIgnoresTimeout;
                one.because = Some(Box::new(Explanation { subject, state, reason, because: None }));
                break;
            }
            deepest = one.because.as_deref_mut();
        }
        Ok(explanation)
    }

    /// Submits a run, and wakes the engine. If it was idle, what it can begin is claimed in the same transaction.
    ///
    /// # Errors
    /// [`NotSubmitted`]; nothing was written.
    pub fn submit(&self, run: impl std::borrow::Borrow<RunDraft>) -> Result<RunId, NotSubmitted> {
        let request = Submit::new(run.borrow().check()?, &self.source);
        let begun = self.crew().map_or(Ok(None), |crew| crew.submit(&request));
        let submitted = begun.and_then(|begun| begun.map_or_else(|| self.store.submit(&request), Ok));
        // Also after an error: a commit of unknown fate may have left something to do.
        self.nudge();
        Ok(submitted?.run)
    }

    /// What works, while it does.
    fn crew(&self) -> Option<Arc<Crew>> {
        self.crew.get().and_then(Weak::upgrade)
    }

    /// Says that something was written to the store by other means: the engine looks at once, instead of within 50 ms.
    pub fn nudge(&self) {
        self.mailbox.nudge();
        self.bell.ring();
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

    fn coordinator(&self, parts: Parts) -> Coordinator {
        let clock: Arc<dyn Monotonic> = Arc::new(MachineClock::start());
        let kinds: Vec<Kind> = parts.settings.kinds.iter().map(|(kind, _)| kind.clone()).collect();
        let workers = parts.settings.workers;
        let core = Core::new(
            Arc::clone(&parts.store),
            Arc::clone(&parts.source),
            parts.settings,
            Ahead::at_least(0),
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
            runtime: crate::asynchronous::Runtime::of(parts.runtime),
            queue: Mutex::new(Queue::default()),
            work: Condvar::new(),
            alive: Arc::default(),
        };
        let crew = Arc::new(Crew::of(core, Arc::new(pool)));
        // A new cell is empty: this is called once.
        let _ = self.crew.set(Arc::downgrade(&crew));
        let lookout = parts.store.lookout();
        Coordinator {
            watcher: lookout.and_then(|lookout| Watcher::start(lookout, Arc::clone(&self.mailbox))),
            crew,
            mailbox: Arc::clone(&self.mailbox),
            progress: Arc::clone(&self.progress),
            bell: Arc::clone(&self.bell),
            writer: ProgressWriter::new(shared),
            store: parts.store,
            source: parts.source,
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
        let (started, mut patience) = (Instant::now(), Patience::default());
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
                Ok(None) => patience = Patience::default(),
                Err(RunError::Store(fault))
                    if !is_over && patience.is_left(&fault, started.elapsed(), self.mailbox.stop_wish()) => {}
                Err(error) => return Err(error),
            }
            self.progress.wait(seen, LOOK_EVERY);
        }
    }

    /// The run, if it is settled, and why it will not be by this engine. `end` is how the engine ended before this look.
    fn look(&self, run: RunId, end: Option<End>, asks: bool) -> Result<Option<Run>, RunError> {
        let found = self.store.run(run).map_err(failed)?.ok_or(RunError::UnknownRun(run))?;
        if found.state.is_terminal() {
            return Ok(Some(found));
        }
        match end {
            Some(End::Stopped) => return Err(RunError::Stopped),
            Some(end) => end.without_a_stop()?,
            None => {}
        }
        if asks { self.blocked(run) } else { Ok(None) }
    }

    /// An error if nothing is left of a run but what this engine cannot move; the run, if it is settled by now.
    fn blocked(&self, run: RunId) -> Result<Option<Run>, RunError> {
        // All of them, not the first few: the one that this engine handles may come last.
        let mut waits = self.store.waits(run, MAX_PAGE).map_err(failed)?;
        if waits.is_nothing() {
            // Settled since it was looked at, or never.
            let found = self.store.run(run).map_err(failed)?.ok_or(RunError::UnknownRun(run))?;
            return if found.state.is_terminal() { Ok(Some(found)) } else { Err(RunError::Damaged(run)) };
        }
        let is_handled = waits.ready.iter().any(|kind| self.kinds.contains(kind));
        if waits.claimed || waits.open || waits.others || is_handled {
            return Ok(None);
        }
        waits.ready.truncate(NAMED);
        waits.outside.truncate(NAMED);
        let (unhandled, outside) = (waits.ready, waits.outside);
        Err(RunError::Blocked(Blocked { run, unhandled, outside, open: false, hanging: Vec::new() }))
    }

    /// Works until it is stopped.
    ///
    /// # Errors
    /// [`RunError::Store`] when the store cannot go on, [`RunError::RuntimeGone`] and [`RunError::Panicked`].
    pub fn run_forever(&self) -> Result<(), RunError> {
        self.start();
        self.progress.wait_for_the_end().without_a_stop()
    }

    /// Every event of the store after that `seq`, those that are there and those that come; 0 from the first one on. What this
    /// engine does is noticed at once, what others do within 50 ms. It never holds the engine up.
    pub fn subscribe(&self, after: u64) -> Subscription {
        let store: Arc<dyn EngineStore> = Arc::clone(&self.store);
        Subscription::of(store, Arc::clone(&self.bell), after)
    }

    /// Something that can stop the engine from anywhere: another thread, a signal handler.
    pub fn stopper(&self) -> Stopper {
        Stopper { mailbox: Arc::clone(&self.mailbox) }
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
pub struct Stopper {
    mailbox: Arc<Mailbox>,
}

impl Stopper {
    /// Asks the engine to stop. It claims nothing more, hands back what has not begun, and ends when what runs has
    /// finished. Asked a second time it stops at once: what runs is handed back too, and done again by whoever claims it
    /// next.
    pub fn stop(&self) {
        self.mailbox.stop();
    }

    /// Asks the engine to stop at once.
    pub fn stop_at_once(&self) {
        self.mailbox.stop_at_once();
    }
}

fn failed(fault: Fault) -> RunError {
    RunError::Store(Arc::new(fault))
}
