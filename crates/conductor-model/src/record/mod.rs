//! The records that a store returns: runs, tasks, progress, health, estimates and explanations.

mod eta;
mod explain;
mod explain_text;
mod health;
mod monitor;
mod progress;
mod run;
mod task;

pub use eta::{Eta, RecentEvent};
pub use explain::{ExplainTarget, Explanation, StateReason};
pub use health::{Health, HealthCounts, HealthReport, RetryMetrics};
pub use monitor::{RunSummary, StuckItem};
pub use progress::{Progress, TaskProgress};
pub use run::Run;
pub use task::{Join, Task};
