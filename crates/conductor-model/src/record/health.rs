//! The health of a run or a store, computed from counts.

use crate::state::StateCounts;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The health of a run, or of all runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Health {
    /// No problem.
    Healthy,
    /// A run or task is stuck, or a failed task waits for its retry.
    Warning,
    /// A task failed permanently.
    Critical,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Healthy => "HEALTHY",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        })
    }
}

/// The counts on which the health depends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCounts {
    /// The number of tasks in each state.
    pub state_counts: StateCounts,
    /// The number of FAILED leaves that wait for a retry.
    pub retries_due: u64,
    /// The number of leaves that failed permanently. FAILED parents are counted in `state_counts` only.
    pub failed_leaves: u64,
    /// The number of leaves that failed permanently because no retry was left.
    pub retries_exhausted: u64,
    /// The number of leaves that were retried at least once.
    pub retried_tasks: u64,
    /// The number of all retries.
    pub total_retries: u64,
    /// The number of stuck runs and tasks.
    pub stuck: u64,
}

/// A health report: the counts and their evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthReport {
    /// The health.
    pub health: Health,
    /// The counts.
    pub counts: HealthCounts,
    /// The SUCCEEDED share of all settled tasks, 0.0 to 1.0; `None` while no task is settled.
    pub success_rate: Option<f64>,
    /// The permanently FAILED share of all settled tasks, 0.0 to 1.0; `None` while no task is settled.
    pub failure_rate: Option<f64>,
    /// The number of retries per retried task; 0.0 if no task was retried.
    pub average_retries: f64,
    /// The problems, as text for people; empty if healthy.
    pub warnings: Vec<String>,
}

impl HealthReport {
    /// Evaluates the counts.
    ///
    /// A permanent failure is CRITICAL. A stuck item, or a failed task that waits for its retry, is a WARNING.
    pub fn of(counts: HealthCounts) -> Self {
        let failed = counts.state_counts.failed.saturating_sub(counts.retries_due);
        let settled = counts.state_counts.succeeded + failed + counts.state_counts.cancelled;
        let mut warnings = Vec::new();
        let mut warn = |count: u64, singular: &str, plural: &str| match count {
            0 => {}
            1 => warnings.push(format!("1 {singular}")),
            _ => warnings.push(format!("{count} {plural}")),
        };
        warn(counts.failed_leaves, "leaf failed permanently", "leaves failed permanently");
        warn(failed.saturating_sub(counts.failed_leaves), "parent failed", "parents failed");
        warn(counts.retries_exhausted, "leaf has no retry left", "leaves have no retry left");
        warn(counts.retries_due, "failed task waits for its retry", "failed tasks wait for their retries");
        warn(counts.stuck, "run or task is stuck", "runs or tasks are stuck");
        let health = if failed > 0 {
            Health::Critical
        } else if counts.stuck > 0 || counts.retries_due > 0 {
            Health::Warning
        } else {
            Health::Healthy
        };
        Self {
            health,
            counts,
            success_rate: share(counts.state_counts.succeeded, settled),
            failure_rate: share(failed, settled),
            average_retries: share(counts.total_retries, counts.retried_tasks).unwrap_or(0.0),
            warnings,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rounded share is enough for people")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Metrics of retries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RetryMetrics {
    /// The number of all retries.
    pub total_retries: u64,
    /// The number of tasks that were retried at least once.
    pub retried_tasks: u64,
    /// The number of retried tasks that SUCCEEDED.
    pub succeeded_after_retry: u64,
    /// The number of tasks that failed permanently because no retry was left.
    pub retries_exhausted: u64,
    /// The number of retries per retried task; 0.0 if no task was retried.
    pub average_retries: f64,
    /// The SUCCEEDED share of the retried tasks, 0.0 to 1.0; `None` if no task was retried.
    pub success_rate: Option<f64>,
}

impl RetryMetrics {
    /// Computes the averages from the counts.
    pub fn of(
        total_retries: u64,
        retried_tasks: u64,
        succeeded_after_retry: u64,
        retries_exhausted: u64,
    ) -> Self {
        Self {
            total_retries,
            retried_tasks,
            succeeded_after_retry,
            retries_exhausted,
            average_retries: share(total_retries, retried_tasks).unwrap_or(0.0),
            success_rate: share(succeeded_after_retry, retried_tasks),
        }
    }
}
