//! Compute everything again from the events, and compare.

use crate::Scope;
use conductor_model::{RunId, TaskId};
use std::fmt;

/// Compute every state and number again from the events, and compare them with the rows.
///
/// It goes run by run, reads in short transactions, and may be used on a store that others work on: what it compares is
/// always the rows and the events of one moment. Runs that are being pruned are left out.
#[derive(Clone, Copy, Debug)]
pub struct Verify {
    /// Which runs; with all of them also what belongs to none.
    pub scope: Scope,
    /// Goes on behind this: what the last call said as `next`; 0 from the beginning.
    pub cursor: u64,
    /// The call ends after the run with which it has looked at so many events; 0 counts as 1.
    pub limit: u64,
    /// How many divergences are listed; all are counted.
    pub max_divergences: u32,
    /// Whether the store also examines what it is made of. On SQLite this is `PRAGMA integrity_check`, which reads the
    /// whole file in one transaction.
    pub integrity: bool,
}

impl Verify {
    /// Verifies all runs, and what belongs to none: a million events per call, and a thousand divergences.
    pub fn all() -> Self {
        Self { scope: Scope::All, cursor: 0, limit: 1_000_000, max_divergences: 1000, integrity: false }
    }

    /// Verifies one run.
    pub fn run(run: RunId) -> Self {
        Self { scope: Scope::Run(run), ..Self::all() }
    }

    /// The same, going on behind the place where the last call stopped.
    #[must_use]
    pub fn after(self, next: u64) -> Self {
        Self { cursor: next, ..self }
    }
}

/// What a verification found.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Runs that were looked at.
    pub runs: u64,
    /// Tasks that were looked at.
    pub tasks: u64,
    /// Events that were looked at.
    pub events: u64,
    /// What diverges, as much of it as was asked for.
    pub divergences: Vec<Divergence>,
    /// How many divergences there are.
    pub found: u64,
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
}

/// A row that says something else than the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The run; `None` for what belongs to none, and where its id is not known.
    pub run: Option<RunId>,
    /// The task; `None` for the run itself, and where its id is not known.
    pub task: Option<TaskId>,
    /// In what.
    pub kind: DivergenceKind,
    /// What the row says.
    pub stored: String,
    /// What follows from the events.
    pub computed: String,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.run, self.task) {
            (_, Some(task)) => write!(f, "task {task}: ")?,
            (Some(run), None) => write!(f, "run {run}: ")?,
            (None, None) => {}
        }
        write!(f, "{}: {}, where {} follows from the events", self.kind, self.stored, self.computed)
    }
}

/// What may diverge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DivergenceKind {
    /// A row that is missing, or of which no event tells.
    Row,
    /// A task's id.
    Id,
    /// A task's parent and index.
    Position,
    /// The state.
    State,
    /// When a retry is due.
    DueAt,
    /// How often a task was retried.
    RetryCount,
    /// How often a leaf was started.
    Attempt,
    /// A claim on something that does not run.
    Lease,
    /// A task's kind.
    Kind,
    /// The numbers of a parent or a run.
    ChildCounts,
    /// How many tasks of a run are in each state.
    StateCounts,
    /// What failures mean for a parent or a run.
    Policy,
    /// Why a parent or a run is being cancelled.
    CancelCause,
    /// How the join of a parent or a run stands.
    JoinStatus,
    /// What is noted of a join that is to come.
    JoinPlan,
    /// An input of a task that does not exist, or one that is missing.
    Input,
    /// The events contradict themselves.
    Events,
    /// What the store is made of.
    Integrity,
}

impl fmt::Display for DivergenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Row => "row",
            Self::Id => "id",
            Self::Position => "place",
            Self::State => "state",
            Self::DueAt => "due time",
            Self::RetryCount => "retry count",
            Self::Attempt => "attempt",
            Self::Lease => "lease",
            Self::Kind => "kind",
            Self::ChildCounts => "numbers",
            Self::StateCounts => "tally",
            Self::Policy => "policy",
            Self::CancelCause => "mark",
            Self::JoinStatus => "joining",
            Self::JoinPlan => "join",
            Self::Input => "input",
            Self::Events => "events",
            Self::Integrity => "file",
        })
    }
}
