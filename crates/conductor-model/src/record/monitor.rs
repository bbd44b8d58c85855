//! Stuck items, and summaries of runs.

use super::explain::StateReason;
use crate::id::{RunId, TaskId};
use crate::state::{State, StateCounts};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A run or a task that makes no progress although it should.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StuckItem {
    /// The run.
    pub run: RunId,
    /// The task; `None` if the run itself is stuck.
    pub task: Option<TaskId>,
    /// The root cause, as an explanation would give it.
    pub reason: StateReason,
    /// The last sign of activity.
    pub since: Timestamp,
}

/// The summary of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// The state.
    pub state: State,
    /// The time from its submission until it settled, or until now, in milliseconds.
    pub duration_ms: u64,
    /// The number of its tasks in each state.
    pub state_counts: StateCounts,
    /// The number of its events.
    pub events: u64,
    /// The number of fan-out steps that created children.
    pub fan_outs: u64,
    /// The number of times that a parent or the run was settled by its children.
    pub aggregates: u64,
    /// The number of retries.
    pub retries: u64,
}
