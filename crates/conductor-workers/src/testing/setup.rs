//! The setup of a simulation.

use super::engine::SimEngine;
use super::workers::SimHandler;
use crate::engine::BuildError;
use crate::engine::config::Settings;
use crate::engine::scheduler::{MAX_SETTLE_BYTES, Prefetch, Scheduler};
use crate::engine_store::EngineStore;
use conductor_model::{DEFAULT_LEASE_MS, Issue, Kind};
use conductor_store::Environment;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Setup {
    /// The handled kinds with their limits.
    pub(super) kinds: Vec<(Kind, Option<u32>)>,
    /// One handler per kind, in the order of the kinds.
    pub(super) handlers: Vec<SimHandler>,
    pub(super) engines: usize,
    pub(super) workers: u32,
    pub(super) prefetch: u32,
    pub(super) lease: Duration,
    pub(super) max_settle_bytes: usize,
    pub(super) loses_wake_ups: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            kinds: Vec::new(),
            handlers: Vec::new(),
            engines: 1,
            workers: 4,
            prefetch: 0,
            lease: Duration::from_millis(DEFAULT_LEASE_MS),
            max_settle_bytes: MAX_SETTLE_BYTES,
            loses_wake_ups: false,
        }
    }
}

impl Setup {
    #[track_caller]
    pub(super) fn add(&mut self, kind: &str, handler: SimHandler) {
        let kind: Kind = kind.parse().unwrap_or_else(|issue: Issue| {
            panic!("{}", BuildError::InvalidKind { kind: kind.into(), error: issue.to_string() })
        });
        assert!(!self.handles(&kind), "{}", BuildError::DuplicateHandler(kind));
        self.kinds.push((kind, None));
        self.handlers.push(handler);
    }

    pub(super) fn limit_last_kind(&mut self, max: u32) {
        if let Some((_, limit)) = self.kinds.last_mut() {
            *limit = Some(max);
        }
    }

    pub(super) fn handles(&self, kind: &Kind) -> bool {
        self.kinds.iter().any(|(known, _)| known == kind)
    }

    /// Creates an engine.
    ///
    /// # Panics
    /// If a setting is out of its range.
    pub(super) fn engine(
        &self,
        number: usize,
        store: &Arc<dyn EngineStore>,
        env: &Arc<Environment>,
    ) -> SimEngine {
        let settings = Settings {
            kinds: self.kinds.clone(),
            workers: self.workers,
            lease: self.lease,
            max_settle_bytes: self.max_settle_bytes,
            retention: None,
        };
        settings.validate().unwrap_or_else(|error| panic!("{error}"));
        let prefetch = Prefetch::with_min(self.prefetch);
        let scheduler = Scheduler::new(Arc::clone(store), Arc::clone(env), settings, prefetch);
        SimEngine::new(number, scheduler)
    }
}
