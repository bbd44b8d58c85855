//! The event log: one event per transition, in commit order.

mod body;
mod codes;

pub use body::{EventBody, FanoutSize, transition_event};
pub use codes::{EVENT_NAMES, event_code};

use crate::id::{RunId, TaskId};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// An event of a run, or of one of its tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The position in commit order, which readers use as cursor.
    pub seq: u64,
    /// The run.
    pub run: RunId,
    /// The task; `None` on an event of the run itself.
    pub task: Option<TaskId>,
    /// When it happened, by the clock of the process that wrote it.
    pub at: Timestamp,
    /// The name and the payload.
    #[serde(flatten)]
    pub body: EventBody,
}
