//! Pages, filters and results of queries.

use conductor_model::{ErrorText, Kind, RunId, State, TaskId, Timestamp};

/// The largest number of items on a page. A larger limit counts as this.
pub const MAX_PAGE: u32 = 1000;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, Cursor> {
    /// The items, in order.
    pub items: Vec<T>,
    /// The cursor for the next page; `None` after the last one.
    pub next: Option<Cursor>,
}

/// Selects tasks of a run. Default: all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Selects tasks in this state.
    pub state: Option<State>,
}

/// Selects events. Default: all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventFilter<'a> {
    /// Selects events of this run.
    pub run: Option<RunId>,
    /// Selects events of this task.
    pub task: Option<TaskId>,
    /// Selects events with this name, for instance `task.failed`.
    pub name: Option<&'a str>,
    /// Selects events at this time or later.
    pub since: Option<Timestamp>,
    /// Selects events before this time.
    pub until: Option<Timestamp>,
}

/// The output of a SUCCEEDED child, for a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildOutput {
    /// The index of the child among its siblings, from 1.
    pub index: u32,
    /// The output as JSON text, which was validated when it was written; `None` without an output.
    pub output: Option<String>,
}

/// A child that has not SUCCEEDED.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildFailure {
    /// The index of the child among its siblings, from 1.
    pub index: u32,
    /// The id of the child.
    pub id: TaskId,
    /// Its state: FAILED or CANCELLED. While siblings are open, it can also be PENDING or RUNNING.
    pub state: State,
    /// The error of its last failed attempt.
    pub error: Option<ErrorText>,
}

/// The things that the open tasks of a run wait for, at one point in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunBlockers {
    /// Kinds of ready leaves; as many as the limit allows.
    pub ready: Vec<Kind>,
    /// Leaves that run outside an engine; as many as the limit allows.
    pub external_tasks: Vec<TaskId>,
    /// Whether engines have claimed leaves of the run.
    pub claimed: bool,
    /// Whether a fan-out or the run itself is open, and waits for an append or a seal.
    pub open: bool,
    /// Whether there is other work now or later: a step, a task that is due later, or the deadline.
    pub other_work: bool,
}

impl RunBlockers {
    /// Returns whether the run waits for nothing. Then it is settled, or another program has changed its rows.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// The time without activity after which an item counts as stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StuckThreshold {
    /// The present moment.
    pub now: Timestamp,
    /// The time without activity, in milliseconds.
    pub threshold_ms: u64,
}

impl StuckThreshold {
    /// The default: five minutes.
    pub const DEFAULT_THRESHOLD_MS: u64 = 5 * 60 * 1000;

    /// Creates the default threshold at this time.
    pub fn at(now: Timestamp) -> Self {
        Self { now, threshold_ms: Self::DEFAULT_THRESHOLD_MS }
    }

    /// Returns the latest activity of a stuck item: `now` minus the threshold.
    pub fn cutoff(self) -> Timestamp {
        self.now.minus_millis(self.threshold_ms)
    }
}
