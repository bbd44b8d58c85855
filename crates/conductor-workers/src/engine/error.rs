//! The errors of engines.

use conductor_model::{Kind, RunId, TaskId};
use conductor_store::StoreError;
use std::sync::Arc;

/// An engine could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A handler has a kind that no task can have.
    #[error("a handler has the invalid kind {kind:?}: {error}")]
    InvalidKind {
        /// The kind.
        kind: String,
        /// The rule that it breaks.
        error: String,
    },
    /// A kind has two handlers.
    #[error("kind {0:?} has two handlers; remove one of them")]
    DuplicateHandler(Kind),
    /// A kind has a limit but no handler.
    #[error("kind {0:?} has a limit but no handler; add a handler or remove the limit")]
    LimitWithoutHandler(String),
    /// A setting is out of its range.
    #[error("{setting} is {given}, but must be {range}")]
    OutOfRange {
        /// The name of the setting, such as `workers`.
        setting: &'static str,
        /// The value.
        given: String,
        /// The valid range, in words.
        range: String,
    },
}

/// Why an engine ended, or stopped waiting for a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The engine was stopped.
    #[error("the engine was stopped before the run settled; run it again with another engine")]
    Stopped,
    /// The store failed permanently, or for too long.
    #[error("the store failed: {}", with_sources(.0))]
    Store(#[source] Arc<StoreError>),
    /// The Tokio runtime of the asynchronous handlers was shut down. Their tasks were released.
    #[error(
        "the Tokio runtime of the engine was shut down, and its tasks were released; build an engine with another one"
    )]
    RuntimeShutDown,
    /// The engine's own thread panicked: in the listener for warnings, in a store of the caller, or because of a bug.
    #[error("the engine's own thread panicked; see the message of the panic on standard error")]
    Panicked,
    /// The run does not exist.
    #[error("run {0} does not exist; check the id, or whether it was pruned")]
    RunNotFound(RunId),
    /// The rest of the run cannot be done by this engine.
    #[error(transparent)]
    Blocked(Blocked),
    /// The run has not settled, but nothing is left to do: another program has changed or deleted rows.
    #[error(
        "run {0} has not settled, but nothing is left to do: another program changed its rows; verify and repair it"
    )]
    Inconsistent(RunId),
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// Formats an error with all its sources: a full disk is the source of a failed commit.
fn with_sources(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The rest of a run, which only another engine or another program can do.
///
/// No retry and no delayed start of the run is due later, and the run has no deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The run.
    pub run: RunId,
    /// The kinds of ready tasks that this engine has no handler for.
    pub unhandled_kinds: Vec<Kind>,
    /// Tasks that another program runs, up to 10.
    pub external_tasks: Vec<TaskId>,
    /// Whether the run or a task of it is open, so that it waits for an append or its seal. Only a simulation reports
    /// it; an engine waits.
    pub is_open: bool,
    /// Tasks of a simulation whose handlers hang and have no timeout. An engine reports none.
    pub stalled_tasks: Vec<TaskId>,
}

/// Returns for instance `kind "a"`, or `kinds "a", "b"`.
fn quoted_kinds(kinds: &[Kind]) -> String {
    let quoted: Vec<String> = kinds.iter().map(|kind| format!("{kind:?}")).collect();
    format!("kind{} {}", if kinds.len() == 1 { "" } else { "s" }, quoted.join(", "))
}

impl std::error::Error for Blocked {}

impl std::fmt::Display for Blocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |tasks: &[TaskId]| tasks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let mut reasons = Vec::new();
        if !self.unhandled_kinds.is_empty() {
            reasons.push(format!(
                "this engine has no handler for {}; register a handler, or call wait_for_external_work() if another \
                 engine handles {}",
                quoted_kinds(&self.unhandled_kinds),
                if self.unhandled_kinds.len() == 1 { "it" } else { "them" },
            ));
        }
        if !self.external_tasks.is_empty() {
            reasons.push(format!("another program runs {}", list(&self.external_tasks)));
        }
        if self.is_open {
            reasons.push("it waits for an append or its seal".into());
        }
        if !self.stalled_tasks.is_empty() {
            reasons.push(format!("handlers hang without a timeout: {}", list(&self.stalled_tasks)));
        }
        write!(f, "run {} is blocked: {}", self.run, reasons.join("; "))
    }
}
