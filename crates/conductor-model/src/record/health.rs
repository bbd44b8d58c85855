//! What the numbers say of a run's health, for people and for alarms.

use crate::explain::StateReason;
use crate::id::{RunId, TaskId};
use crate::numbers::StateCounts;
use crate::time::Timestamp;
use crate::transition::State;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a run, or all of them, is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Health {
    /// Nothing to be said.
    Healthy,
    /// Something is stuck, or waits for a retry.
    Warning,
    /// Something failed for good.
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

/// The numbers that health is judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCounts {
    /// Tasks by state.
    pub state_counts: StateCounts,
    /// Leaves that are FAILED and wait for a retry.
    pub retries_due: u64,
    /// Leaves that failed for good. The parents that are FAILED because of them are in the tally only.
    pub failed_leaves: u64,
    /// Leaves that failed for good with no retry left.
    pub retries_exhausted: u64,
    /// Leaves that were retried at least once.
    pub retried_tasks: u64,
    /// All their retries.
    pub total_retries: u64,
    /// What is stuck.
    pub stuck: u64,
}

/// A health report: the numbers, and what they mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthReport {
    /// The judgement.
    pub health: Health,
    /// The numbers.
    pub counts: HealthCounts,
    /// SUCCEEDED as a share of all settled tasks, 0.0 to 1.0; `None` while none is settled.
    pub success_rate: Option<f64>,
    /// FAILED for good as a share of all settled tasks, 0.0 to 1.0; `None` while none is settled.
    pub failure_rate: Option<f64>,
    /// Retries per task that was retried; 0.0 when none was.
    pub average_retries: f64,
    /// What is wrong, in words; empty when healthy.
    pub warnings: Vec<String>,
}

impl HealthReport {
    /// Judges the numbers: a final failure is CRITICAL; something stuck, or a failure that waits for its
    /// retry, is a WARNING.
    pub fn of(counts: HealthCounts) -> Self {
        let failed = counts.state_counts.failed.saturating_sub(counts.retries_due);
        let settled = counts.state_counts.succeeded + failed + counts.state_counts.cancelled;
        let mut warnings = Vec::new();
        let mut warn = |count: u64, one: &str, many: &str| match count {
            0 => {}
            1 => warnings.push(format!("1 {one}")),
            _ => warnings.push(format!("{count} {many}")),
        };
        warn(counts.failed_leaves, "leaf failed for good", "leaves failed for good");
        warn(failed.saturating_sub(counts.failed_leaves), "parent failed", "parents failed");
        warn(counts.retries_exhausted, "of them has no retry left", "of them have no retry left");
        warn(counts.retries_due, "failed task waits for its retry", "failed tasks wait for their retries");
        warn(counts.stuck, "thing is stuck", "things are stuck");
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

#[expect(clippy::cast_precision_loss, reason = "a share, for people")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// What retries came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RetryMetrics {
    /// All retries.
    pub total_retries: u64,
    /// Tasks that were retried at least once.
    pub retried_tasks: u64,
    /// Those of them that SUCCEEDED.
    pub succeeded_after_retry: u64,
    /// Tasks that failed for good with no retry left.
    pub retries_exhausted: u64,
    /// Retries per task that was retried; 0.0 when none was.
    pub average_retries: f64,
    /// SUCCEEDED as a share of the retried tasks, 0.0 to 1.0; `None` when none was retried.
    pub success_rate: Option<f64>,
}

impl RetryMetrics {
    /// The metrics from the four counts that they consist of.
    pub fn of(total_retries: u64, retried_tasks: u64, succeeded_after_retry: u64, exhausted: u64) -> Self {
        Self {
            total_retries,
            retried_tasks,
            succeeded_after_retry,
            retries_exhausted: exhausted,
            average_retries: share(total_retries, retried_tasks).unwrap_or(0.0),
            success_rate: share(succeeded_after_retry, retried_tasks),
        }
    }
}

/// A run or task in which nothing happens although something should.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StuckItem {
    /// The run.
    pub run: RunId,
    /// The task; `None` when it is the run itself.
    pub task: Option<TaskId>,
    /// Why: what an explanation of it comes to in the end.
    pub reason: StateReason,
    /// The last sign of life.
    pub since: Timestamp,
}

/// One run at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// Its state.
    pub state: State,
    /// From its submission to its end, or to now while it has none; in milliseconds.
    pub duration_ms: u64,
    /// Its tasks by state.
    pub state_counts: StateCounts,
    /// How many events it left.
    pub events: u64,
    /// Fan-out steps that created children.
    pub fan_outs: u64,
    /// Parents and runs that were decided.
    pub aggregates: u64,
    /// Retries.
    pub retries: u64,
}
