//! The engine: it claims ready tasks, runs their handlers, records the results, and carries out the steps that follow.
//!
//! The coordinator (`coordinator/`) is one thread. In each turn it asks the scheduler (`scheduler/`) to settle results and
//! to claim tasks in one transaction, and to carry out the steps. The worker threads (`pool/`) run the handlers. A queue
//! leads from the coordinator to the workers, and a mailbox leads back. A caller that submits a run while the coordinator
//! waits claims the run's tasks itself (`shared.rs`).

mod builder;
mod channels;
mod completion;
pub(crate) mod config;
mod coordinator;
mod error;
mod mailbox;
mod pool;
mod requests;
pub(crate) mod scheduler;
mod shared;
mod stop_handle;
mod store_retry;
mod trace;
mod wait;
mod warning;

pub use builder::EngineBuilder;
pub use config::MAX_WORKERS;
pub use error::{Blocked, BuildError, RunError};
pub use stop_handle::StopHandle;
pub use warning::Warning;

use crate::engine_store::EngineStore;
use crate::subscription::Subscription;
use channels::Channels;
use conductor_model::{Kind, Run, RunDraft, RunId};
use conductor_store::{Environment, Submit, SubmitError};
use config::EngineConfig;
use coordinator::{Coordinator, ENGINE_THREAD};
use pool::WORKER_THREAD;
use shared::SharedScheduler;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use wait::RunWaiter;

/// An engine: runs tasks in this process, from a store that it may share with other engines.
pub struct Engine {
    store: Arc<dyn EngineStore>,
    env: Arc<Environment>,
    kinds: HashSet<Kind>,
    waits_for_external_work: bool,
    channels: Channels,
    /// The scheduler and the pool, from the start of the engine to its end.
    shared: OnceLock<Weak<SharedScheduler>>,
    /// The configuration, until the engine starts.
    config: Mutex<Option<EngineConfig>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    fn new(config: EngineConfig) -> Self {
        Self {
            store: Arc::clone(&config.store),
            env: Arc::clone(&config.env),
            kinds: config.settings.kinds.iter().map(|(kind, _)| kind.clone()).collect(),
            waits_for_external_work: config.waits_for_external_work,
            channels: Channels::default(),
            shared: OnceLock::new(),
            config: Mutex::new(Some(config)),
            thread: Mutex::default(),
        }
    }

    /// Returns the store of the engine.
    pub fn store(&self) -> &dyn EngineStore {
        &*self.store
    }

    /// Returns the clock, the ids and the random numbers of the engine, for requests to its store.
    ///
    /// Call [`Engine::wake`] after a request that writes.
    pub fn environment(&self) -> &Environment {
        &self.env
    }

    /// Submits a run, and wakes the engine. An idle engine claims the run's first tasks in the same transaction.
    ///
    /// With an idempotency key, it returns the existing run of the same draft, if there is one.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was written:
    ///
    /// - [`Invalid`](SubmitError::Invalid): the draft is invalid.
    /// - [`IdempotencyConflict`](SubmitError::IdempotencyConflict): a run with the key has another draft.
    /// - [`RunIdTaken`](SubmitError::RunIdTaken), [`TaskIdTaken`](SubmitError::TaskIdTaken): an id of the draft exists.
    /// - [`Store`](SubmitError::Store): the store failed.
    pub fn submit(&self, run: impl std::borrow::Borrow<RunDraft>) -> Result<RunId, SubmitError> {
        let request = Submit::new(run.borrow().validate()?, &self.env);
        let claimed = self.shared().map_or(Ok(None), |shared| shared.submit(&request));
        let submitted = claimed.and_then(|outcome| outcome.map_or_else(|| self.store.submit(&request), Ok));
        // Also after an error: a commit with an unknown outcome may have left work.
        self.wake();
        Ok(submitted?.run)
    }

    fn shared(&self) -> Option<Arc<SharedScheduler>> {
        self.shared.get().and_then(Weak::upgrade)
    }

    /// Wakes the engine: it looks for work at once, instead of within 50 ms. Call it after another writer has changed the
    /// store.
    pub fn wake(&self) {
        self.channels.mailbox.wake();
        self.channels.events.notify();
    }

    /// Starts to work in the background, on all runs in the store. A second call has no effect.
    ///
    /// # Panics
    /// If the system cannot start a thread.
    pub fn start(&self) {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(config) = config.take() else { return };
        let coordinator = Coordinator::new(config, self.channels.clone());
        // The cell is empty: the configuration is taken only once.
        let _ = self.shared.set(Arc::downgrade(coordinator.shared()));
        let thread = thread::Builder::new().name(ENGINE_THREAD.into()).spawn(move || coordinator.run());
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(thread.expect("the system can start the thread of an engine"));
    }

    /// Starts the engine, blocks the thread until the run has settled, and returns the run.
    ///
    /// The engine also works on other runs meanwhile, and continues in the background afterwards. Other engines may do
    /// the work of the run too. To resume a run from an earlier process, pass its id.
    ///
    /// # Errors
    /// [`RunError`]. [`RunError::Blocked`] names the tasks of the run that this engine cannot do, if nothing else is left:
    /// see [`EngineBuilder::wait_for_external_work`].
    pub fn run_until_settled(&self, run: RunId) -> Result<Run, RunError> {
        self.start();
        let waiter = RunWaiter {
            store: &*self.store,
            completion: &self.channels.completion,
            mailbox: &self.channels.mailbox,
            kinds: &self.kinds,
            waits_for_external_work: self.waits_for_external_work,
        };
        waiter.wait(run)
    }

    /// Starts the engine, and blocks the thread until it is stopped.
    ///
    /// # Errors
    /// [`RunError::Store`] if the store fails permanently or for too long, [`RunError::RuntimeShutDown`] and
    /// [`RunError::Panicked`].
    pub fn run_forever(&self) -> Result<(), RunError> {
        self.start();
        self.channels.completion.wait_for_end().error().map_or(Ok(()), Err)
    }

    /// Subscribes to the events of all runs after the sequence number `cursor`; 0 begins with the first event.
    ///
    /// The subscription receives events of this engine at once, and events of other writers within 50 ms. A slow
    /// subscription does not slow the engine down.
    pub fn subscribe(&self, cursor: u64) -> Subscription {
        Subscription::with_signal(self.store.clone(), Arc::clone(&self.channels.events), cursor)
    }

    /// Returns a handle that stops the engine from another thread.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle::new(Arc::clone(&self.channels.mailbox))
    }
}

/// Returns whether this thread belongs to an engine: waiting for an engine could then be waiting for itself.
fn is_engine_thread() -> bool {
    thread::current().name().is_some_and(|name| [ENGINE_THREAD, WORKER_THREAD].contains(&name))
}

/// Stops the engine gracefully, and waits for it, unless a synchronous handler or a listener drops it.
impl Drop for Engine {
    fn drop(&mut self) {
        if self.channels.mailbox.stop_request().is_none() {
            self.channels.mailbox.stop();
        }
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && !is_engine_thread()
        {
            // A panic of the coordinator has been printed.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("kinds", &self.kinds).finish_non_exhaustive()
    }
}
