//! The configuration of an engine.

use super::error::BuildError;
use super::warning::Listener;
use crate::engine_store::EngineStore;
use crate::handler::call::Call;
use conductor_model::{Kind, MAX_LEASE_MS};
use conductor_store::Environment;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

/// The maximum of [`EngineBuilder::workers`](crate::EngineBuilder::workers): 10,000.
pub const MAX_WORKERS: u32 = 10_000;
/// The shortest lease. A heartbeat must pass through a busy database within a third of it.
const MIN_LEASE: Duration = Duration::from_millis(100);
/// The shortest retention. A caller that waits for a run reads it after it has settled.
const MIN_RETENTION: Duration = Duration::from_secs(1);

/// The configuration of an engine with threads.
pub(super) struct EngineConfig {
    pub(super) store: Arc<dyn EngineStore>,
    pub(super) env: Arc<Environment>,
    pub(super) settings: Settings,
    pub(super) pool: PoolConfig,
    pub(super) waits_for_external_work: bool,
    pub(super) listener: Listener,
}

/// The configuration of a thread pool.
pub(super) struct PoolConfig {
    pub(super) workers: u32,
    /// How many threads may exist in addition to `workers`.
    pub(super) spare_threads: u32,
    /// One handler per kind, in the order of the kinds.
    pub(super) handlers: Vec<Call>,
    #[cfg(feature = "tokio")]
    pub(super) runtime: Option<tokio::runtime::Handle>,
}

/// The settings of a scheduler.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The handled kinds, each with the maximum of concurrent attempts.
    pub(crate) kinds: Vec<(Kind, Option<u32>)>,
    /// The maximum of concurrent attempts.
    pub(crate) workers: u32,
    /// How long a claim is valid without a heartbeat.
    pub(crate) lease: Duration,
    /// How many bytes of outputs and errors one transaction settles, about. Other writers wait for it.
    pub(crate) max_settle_bytes: usize,
    /// How long settled runs are kept; `None` keeps them forever.
    pub(crate) retention: Option<Duration>,
}

impl Settings {
    /// Checks the ranges of all settings.
    pub(crate) fn validate(&self) -> Result<(), BuildError> {
        let lease_ms = self.lease.as_millis();
        if !(1..=MAX_WORKERS).contains(&self.workers) {
            return out_of_range("workers", &self.workers, format!("between 1 and {MAX_WORKERS}"));
        }
        if !(MIN_LEASE..=Duration::from_millis(MAX_LEASE_MS)).contains(&self.lease) {
            return out_of_range(
                "lease",
                &format_args!("{lease_ms} ms"),
                "between 100 ms and one day".into(),
            );
        }
        if let Some(retention) = self.retention.filter(|retention| *retention < MIN_RETENTION) {
            let given = format!("{} ms", retention.as_millis());
            return out_of_range("retention", &given, "at least one second".into());
        }
        if self.kinds.iter().any(|(_, limit)| *limit == Some(0)) {
            return out_of_range("kind_limit", &0, "at least 1".into());
        }
        Ok(())
    }
}

pub(super) fn out_of_range<T>(
    setting: &'static str,
    given: &dyn Display,
    range: String,
) -> Result<T, BuildError> {
    Err(BuildError::OutOfRange { setting, given: given.to_string(), range })
}
