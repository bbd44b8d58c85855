//! Measures a store.

use crate::{Scope, StoreError, StuckThreshold};
use conductor_model::{Eta, HealthReport, RetryMetrics, RunId, RunSummary, StuckItem, Timestamp};

/// The questions of operators. A store answers them from counters and indexes, without a scan of all tasks.
pub trait Monitor: Send + Sync {
    /// Returns the health of a run, or of all runs.
    ///
    /// # Errors
    /// [`StoreError`]
    fn health(&self, scope: Scope, threshold: StuckThreshold) -> Result<HealthReport, StoreError>;

    /// Lists stuck items, the longest stuck first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`]
    fn stuck(
        &self,
        scope: Scope,
        threshold: StuckThreshold,
        limit: u32,
    ) -> Result<Vec<StuckItem>, StoreError>;

    /// Returns how often tasks were retried, and with which success.
    ///
    /// # Errors
    /// [`StoreError`]
    fn retry_metrics(&self, scope: Scope) -> Result<RetryMetrics, StoreError>;

    /// Estimates when a run will be settled, from a bounded number of its last events; `None` if the run does not exist.
    ///
    /// # Errors
    /// [`StoreError`]
    fn eta(&self, run: RunId, now: Timestamp) -> Result<Option<Eta>, StoreError>;

    /// Returns state, duration, task counts and event counts of one run; `None` if the run does not exist.
    ///
    /// # Errors
    /// [`StoreError`]
    fn summary(&self, run: RunId, threshold: StuckThreshold) -> Result<Option<RunSummary>, StoreError>;
}
