//! What can go wrong with an engine.

use conductor_model::{Kind, RunId, TaskId};
use conductor_store::StoreError;

/// The engine cannot be built as it was described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A kind that no task can have.
    #[error("handler for {kind:?}: {why}")]
    InvalidKind {
        /// The kind as it was given.
        kind: String,
        /// What is wrong with it.
        why: String,
    },
    /// Two handlers for one kind.
    #[error("there are two handlers for kind {0}; choose one")]
    DuplicateHandler(Kind),
    /// A limit for a kind without a handler.
    #[error("there is a limit for kind {0:?}, but no handler")]
    LimitWithoutHandler(String),
    /// A number that is out of its range.
    #[error("{what} must be {range}")]
    OutOfRange {
        /// Which: `workers`.
        what: &'static str,
        /// What it may be, in words.
        range: String,
    },
}

/// The engine ended before the run was settled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The engine was stopped.
    #[error("the engine was stopped")]
    Stopped,
    /// The store could not go on.
    #[error("the store failed: {}", in_full(.0))]
    Store(#[source] std::sync::Arc<StoreError>),
    /// The Tokio runtime that asynchronous handlers ran on was shut down. What ran on it was handed back.
    #[error("the Tokio runtime of the engine was shut down; what ran on it was handed back")]
    RuntimeShutDown,
    /// The engine's own thread panicked: in the listener for warnings, in a store of the caller's, or by a mistake of ours.
    #[error("the engine panicked")]
    Panicked,
    /// There is no such run.
    #[error("there is no run {0}")]
    RunNotFound(RunId),
    /// What is left of the run waits for others: see [`Blocked`].
    #[error(transparent)]
    Blocked(Blocked),
    /// The run is not settled, and nothing is left of it that anybody could do: another program changed or deleted rows.
    #[error("nothing is left to do of run {0}, and it is not settled: another program changed its rows")]
    Inconsistent(RunId),
}

/// An error with what caused it: a full disk stands behind a failed commit.
fn in_full(fault: &StoreError) -> String {
    let mut text = fault.to_string();
    let mut source = std::error::Error::source(fault);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// What is left of a run can only be moved by others than this engine: nothing of it is due later, of whatever kind, and it
/// has no deadline that would end it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The run.
    pub run: RunId,
    /// Kinds of ready tasks without a handler in this engine.
    pub unhandled_kinds: Vec<Kind>,
    /// Tasks that are held from outside, the first few of them.
    pub external_tasks: Vec<TaskId>,
    /// Whether a fan-out or the run is open, for an append or its seal: only a simulation says so, an engine waits for it.
    pub is_open: bool,
    /// Tasks that hang in a simulation and have no timeout, the first few of them.
    pub stalled_tasks: Vec<TaskId>,
}

impl std::error::Error for Blocked {}

impl std::fmt::Display for Blocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |tasks: &[TaskId]| tasks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let mut reasons = Vec::new();
        if !self.unhandled_kinds.is_empty() {
            let kinds: Vec<&str> = self.unhandled_kinds.iter().map(Kind::as_str).collect();
            reasons.push(format!("this engine has no handler for {}", kinds.join(", ")));
        }
        if !self.external_tasks.is_empty() {
            reasons.push(format!("held from outside: {}", list(&self.external_tasks)));
        }
        if self.is_open {
            reasons.push("a fan-out is open, for an append or its seal".into());
        }
        if !self.stalled_tasks.is_empty() {
            reasons.push(format!("hanging without a timeout: {}", list(&self.stalled_tasks)));
        }
        write!(f, "run {} waits for others: {}", self.run, reasons.join("; "))
    }
}
