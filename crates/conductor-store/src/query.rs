//! What readers ask for, page by page.

use conductor_model::{ErrorText, Kind, RunId, State, TaskId, Timestamp};

/// The largest page that a reader gets, whatever it asks for.
pub const MAX_PAGE: u32 = 1000;

/// A page of results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, Cursor> {
    /// The results, in order.
    pub items: Vec<T>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<Cursor>,
}

/// Which tasks of a run to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only those in this state.
    pub state: Option<State>,
}

/// Which events to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventFilter<'a> {
    /// Only those of this run.
    pub run: Option<RunId>,
    /// Only those of this task.
    pub task: Option<TaskId>,
    /// Only those with this name: `task.failed`.
    pub name: Option<&'a str>,
    /// Only those at this moment or later.
    pub since: Option<Timestamp>,
    /// Only those before this moment.
    pub until: Option<Timestamp>,
}

/// What came out of a child that SUCCEEDED, as a join reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildOutput {
    /// Its ordinal among its siblings, from 1.
    pub index: u32,
    /// The text of its JSON, which was checked when it was written; `None` if there is none.
    pub output: Option<String>,
}

/// What became of a child that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildFailure {
    /// Its ordinal among its siblings, from 1.
    pub index: u32,
    /// The child.
    pub id: TaskId,
    /// FAILED or CANCELLED; while siblings are open, any state but SUCCEEDED.
    pub state: State,
    /// Why it last failed.
    pub error: Option<ErrorText>,
}

/// What is left of a run waits for, as far as a single look tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunBlockers {
    /// Kinds of leaves that are ready, the first of them.
    pub ready: Vec<Kind>,
    /// Leaves that are held from outside, the first of them.
    pub external_tasks: Vec<TaskId>,
    /// Whether engines hold leaves of it.
    pub claimed: bool,
    /// Whether a fan-out, or the run itself, is open: for an append, or its seal.
    pub open: bool,
    /// Whether something else goes on or will: a step, a task that is due later, or the deadline.
    pub other_work: bool,
}

impl RunBlockers {
    /// Whether nothing is left to wait for: the run is settled, or another program changed its rows.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// When something counts as stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StuckThreshold {
    /// The present moment.
    pub now: Timestamp,
    /// How long without a sign of life, in milliseconds.
    pub threshold_ms: u64,
}

impl StuckThreshold {
    /// Five minutes without a sign of life.
    pub const DEFAULT_THRESHOLD_MS: u64 = 5 * 60 * 1000;

    /// The default threshold, at this moment.
    pub fn at(now: Timestamp) -> Self {
        Self { now, threshold_ms: Self::DEFAULT_THRESHOLD_MS }
    }

    /// What gave its last sign of life before this moment is stuck.
    pub fn cutoff(self) -> Timestamp {
        self.now.minus_millis(self.threshold_ms)
    }
}
