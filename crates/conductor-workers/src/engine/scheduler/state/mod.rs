//! The state of a scheduler.

mod base;
mod cancel_check;
mod claims;
mod corrupt_rows;
mod heartbeat;
mod outbox;
mod prefetch;
mod rotation;
mod step_timers;

pub(crate) use heartbeat::LeaseValidity;
pub(crate) use outbox::MAX_SETTLE_BYTES;
pub(super) use outbox::{Results, result_bytes};
pub(crate) use prefetch::Prefetch;

use crate::engine::config::Settings;
use crate::engine::trace;
use crate::engine_store::EngineStore;
use crate::handler::attempt::Attempt;
use crate::handler::running::RunningAttempts;
use base::Base;
use cancel_check::CancelCheck;
use claims::Claims;
use conductor_store::{Environment, StoreError};
use corrupt_rows::CorruptRows;
use heartbeat::Heartbeat;
use outbox::Outbox;
use rotation::Rotation;
use std::sync::Arc;
use std::time::Duration;
use step_timers::StepTimers;

pub(crate) struct Scheduler {
    pub(super) base: Base,
    pub(super) claims: Claims,
    pub(super) outbox: Outbox,
    pub(super) rotation: Rotation,
    pub(super) prefetch: Prefetch,
    pub(super) heartbeat: Heartbeat,
    pub(super) cancel_check: CancelCheck,
    pub(super) timers: StepTimers,
    pub(super) corrupt_rows: CorruptRows,
    /// Why nothing more is claimed; `None` while the engine works.
    pub(super) closing: Option<Closing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// The engine was asked to stop.
    Stopping,
    /// Asynchronous handlers have no runtime any more.
    RuntimeShutDown,
}

impl Scheduler {
    pub(crate) fn new(
        store: Arc<dyn EngineStore>,
        env: Arc<Environment>,
        settings: Settings,
        prefetch: Prefetch,
    ) -> Self {
        Self {
            claims: Claims::new(settings.kinds.len(), settings.workers),
            outbox: Outbox::default(),
            rotation: Rotation::new(settings.kinds.len()),
            prefetch,
            heartbeat: Heartbeat::new(settings.lease),
            cancel_check: CancelCheck::default(),
            timers: StepTimers::default(),
            corrupt_rows: CorruptRows::default(),
            closing: None,
            base: Base { store, env, settings },
        }
    }

    /// Records that the engine started.
    pub(crate) fn trace_start(&self) {
        trace::started(self.base.settings.workers, self.base.settings.kinds.len());
    }

    /// Returns the attempts whose handlers run.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = Arc<Attempt>> {
        self.claims.started()
    }

    /// Where the workers keep the attempts that they run.
    pub(crate) fn running(&self) -> Arc<RunningAttempts> {
        Arc::clone(self.claims.running())
    }

    pub(crate) fn lease_validity(&self) -> LeaseValidity {
        self.heartbeat.validity()
    }

    /// Returns whether nothing is claimed, and the store has taken all results and releases.
    pub(crate) fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.outbox.is_empty()
    }

    /// Returns whether the engine closes because its Tokio runtime was shut down.
    pub(crate) fn is_runtime_shut_down(&self) -> bool {
        self.closing == Some(Closing::RuntimeShutDown)
    }

    /// Takes the errors of corrupt rows that were met since the last call.
    pub(crate) fn take_corrupt_rows(&mut self) -> Vec<StoreError> {
        self.corrupt_rows.take()
    }

    /// Ends the turn that began with the last exchange. Returns how long the next turn may wait for more results.
    pub(crate) fn end_turn(&mut self, now: Duration) -> Duration {
        self.prefetch.end_turn(now);
        self.prefetch.pause(self.claims.len(), self.base.settings.workers)
    }

    /// Returns when the claimed attempts next need a turn: a heartbeat, a timeout, or a check for cancelled attempts.
    pub(crate) fn next_wake(&self, now: Duration) -> Option<Duration> {
        let keeps_leases = !self.claims.is_empty() || self.outbox.has_results();
        let heartbeat = keeps_leases.then_some(self.heartbeat.next_at());
        let check = self.cancel_check.next_at().filter(|_| self.claims.started().next().is_some());
        [self.claims.next_timeout(now), heartbeat, check].into_iter().flatten().min()
    }

    /// Returns when the next rescue, or the next prune of an engine with a retention, is due.
    pub(crate) fn next_rescue(&self) -> Duration {
        self.timers.next_at(self.base.settings.retention.is_some())
    }
}
