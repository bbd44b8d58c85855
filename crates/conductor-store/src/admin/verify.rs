//! Recomputes states and counts from the events, and compares them with the rows.

use crate::Scope;
use conductor_model::{RunId, TaskId};
use std::fmt;

/// A request to recompute every state and count from the events, and to compare them with the rows.
///
/// A verification reads run by run in short transactions, while other processes work. It compares rows and events of the
/// same point in time. It skips runs that are being pruned.
#[derive(Clone, Copy, Debug)]
pub struct Verify {
    /// The runs to verify. [`Scope::All`] includes rows that belong to no run.
    pub scope: Scope,
    /// The start: [`VerifyReport::next`] of the last call, or 0.
    pub cursor: u64,
    /// The call stops after the run with which it has read this many events; 0 counts as 1. Default: 1,000,000.
    pub limit: u64,
    /// The largest number of listed divergences. All are counted. Default: 1,000.
    pub max_divergences: u32,
    /// Whether the store also checks its files. On SQLite this is `PRAGMA integrity_check`, which reads the whole file in one
    /// transaction. Default: no.
    pub integrity: bool,
}

impl Verify {
    /// Creates a request for all runs, and for rows that belong to no run.
    pub fn all() -> Self {
        Self { scope: Scope::All, cursor: 0, limit: 1_000_000, max_divergences: 1000, integrity: false }
    }

    /// Creates a request for one run.
    pub fn run(run: RunId) -> Self {
        Self { scope: Scope::Run(run), ..Self::all() }
    }

    /// Continues where the last call stopped: pass its [`VerifyReport::next`].
    #[must_use]
    pub fn after(self, cursor: u64) -> Self {
        Self { cursor, ..self }
    }
}

/// The outcome of a verification.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// The number of examined runs.
    pub runs: u64,
    /// The number of examined tasks.
    pub tasks: u64,
    /// The number of examined events.
    pub events: u64,
    /// The divergences, at most [`Verify::max_divergences`].
    pub divergences: Vec<Divergence>,
    /// The number of divergences.
    pub found: u64,
    /// The cursor for the next call; `None` at the end.
    pub next: Option<u64>,
}

/// A difference between a stored row and the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The run; `None` if the row belongs to no run, or if the id of the run is unknown.
    pub run: Option<RunId>,
    /// The task; `None` for the run itself, or if the id of the task is unknown.
    pub task: Option<TaskId>,
    /// The type of the difference.
    pub kind: DivergenceKind,
    /// The stored value.
    pub stored: String,
    /// The value that follows from the events.
    pub computed: String,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.run, self.task) {
            (_, Some(task)) => write!(f, "task {task}: ")?,
            (Some(run), None) => write!(f, "run {run}: ")?,
            (None, None) => {}
        }
        write!(f, "{}: found {}; expected {}", self.kind, self.stored, self.computed)
    }
}

/// The type of a [`Divergence`]. `Display` writes the name that each variant's documentation quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DivergenceKind {
    /// `row`: a row is missing, or a row exists without an event.
    Row,
    /// `id`: the id of a task.
    Id,
    /// `position`: the parent and the index of a task.
    Position,
    /// `state`: the state of a run or a task.
    State,
    /// `due time`: the time of the next retry.
    DueAt,
    /// `retry count`: the number of retries of a task.
    RetryCount,
    /// `attempt`: the number of attempts of a leaf.
    Attempt,
    /// `lease`: a lease of a task that is not running.
    Lease,
    /// `kind`: the kind of a task.
    Kind,
    /// `child counts`: the counts of the children of a parent or a run.
    ChildCounts,
    /// `state counts`: the number of tasks of a run in each state.
    StateCounts,
    /// `policy`: the failure policy of a parent or a run.
    Policy,
    /// `cancel cause`: why a parent or a run is being cancelled.
    CancelCause,
    /// `join status`: whether the join of a parent or a run has started or settled.
    JoinStatus,
    /// `join plan`: the stored description of a join that has not started.
    JoinPlan,
    /// `input`: an input is missing, or an input belongs to no task.
    Input,
    /// `events`: the events contradict each other.
    Events,
    /// `integrity`: the files of the store are damaged.
    Integrity,
}

impl fmt::Display for DivergenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Row => "row",
            Self::Id => "id",
            Self::Position => "position",
            Self::State => "state",
            Self::DueAt => "due time",
            Self::RetryCount => "retry count",
            Self::Attempt => "attempt",
            Self::Lease => "lease",
            Self::Kind => "kind",
            Self::ChildCounts => "child counts",
            Self::StateCounts => "state counts",
            Self::Policy => "policy",
            Self::CancelCause => "cancel cause",
            Self::JoinStatus => "join status",
            Self::JoinPlan => "join plan",
            Self::Input => "input",
            Self::Events => "events",
            Self::Integrity => "integrity",
        })
    }
}
