//! The state of the coordinator.

use super::idle_timer::IdleTimer;
use super::progress_writer::ProgressWriter;
use super::write_watcher::WriteWatcher;
use crate::engine::channels::Channels;
use crate::engine::config::EngineConfig;
use crate::engine::pool::Pool;
use crate::engine::scheduler::{Prefetch, Scheduler};
use crate::engine::shared::SharedScheduler;
use crate::engine::warning::Warnings;
use crate::engine_store::EngineStore;
use crate::handler::clock::{MachineClock, Monotonic};
use crate::handler::context::ContextShared;
use conductor_model::{Kind, Timestamp};
use conductor_store::Environment;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// When a busy engine checks for ready kinds without a handler for the first time. An idle engine checks earlier.
const FIRST_KINDS_CHECK: Duration = Duration::from_secs(1);

/// The thread that takes the turns of an engine.
pub(in crate::engine) struct Coordinator {
    pub(super) shared: Arc<SharedScheduler>,
    pub(super) channels: Channels,
    pub(super) store: Arc<dyn EngineStore>,
    pub(super) env: Arc<Environment>,
    pub(super) clock: Arc<dyn Monotonic>,
    pub(super) progress_writer: ProgressWriter,
    pub(super) warnings: Warnings,
    pub(super) next_kinds_check: Duration,
    /// The system time at which the last turn began.
    pub(super) turn_began: Timestamp,
    pub(super) idle_timer: IdleTimer,
    /// Notices writes of other processes; `None` if the store or the system does not support it.
    pub(super) write_watcher: Option<WriteWatcher>,
}

impl Coordinator {
    pub(in crate::engine) fn new(config: EngineConfig, channels: Channels) -> Self {
        let EngineConfig { store, env, settings, pool, listener, .. } = config;
        let clock: Arc<dyn Monotonic> = Arc::new(MachineClock::start());
        let kinds: Vec<Kind> = settings.kinds.iter().map(|(kind, _)| kind.clone()).collect();
        let context = Arc::new(ContextShared {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            kinds: kinds.clone(),
            has_progress: AtomicBool::new(false),
        });
        let scheduler = Scheduler::new(Arc::clone(&store), Arc::clone(&env), settings, Prefetch::with_min(0));
        let mailbox = Arc::clone(&channels.mailbox);
        let pool = Pool::new(pool, Arc::clone(&context), Arc::clone(&mailbox), &scheduler);
        let notifier = store.write_notifier();
        Self {
            write_watcher: notifier.and_then(|notifier| WriteWatcher::start(notifier, mailbox)),
            shared: Arc::new(SharedScheduler::new(scheduler, Arc::new(pool))),
            channels,
            progress_writer: ProgressWriter::new(context),
            store,
            env,
            clock,
            warnings: Warnings::new(kinds, listener),
            next_kinds_check: FIRST_KINDS_CHECK,
            turn_began: Timestamp::MIN,
            idle_timer: IdleTimer::default(),
        }
    }

    pub(in crate::engine) fn shared(&self) -> &Arc<SharedScheduler> {
        &self.shared
    }
}
