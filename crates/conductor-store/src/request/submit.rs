//! Creates a run with its root tasks.

use crate::{Environment, StoreError};
use conductor_model::{IdBlock, NewRun, RunId, TaskId, Timestamp};

/// A request to create a run with its root tasks, in one transaction.
#[derive(Clone, Debug)]
pub struct Submit {
    /// The run.
    pub run: NewRun,
    /// The present moment.
    pub now: Timestamp,
    /// Ids for the run and for each task without an id from the caller. [`NewRun::ids_needed`] returns how many.
    pub ids: IdBlock,
}

impl Submit {
    /// Creates a request. Time and ids come from `env`.
    pub fn new(run: NewRun, env: &Environment) -> Self {
        let ids = env.ids(run.ids_needed());
        Self { run, now: env.now(), ids }
    }
}

/// The outcome of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmitOutcome {
    /// The run.
    pub run: RunId,
    /// Whether this submission created the run; otherwise it existed with the same idempotency key and payload.
    pub created: bool,
}

/// A submission failed. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The draft is invalid. Callers that validate drafts return this; a store does not.
    #[error(transparent)]
    Invalid(#[from] conductor_model::ValidationError),
    /// The idempotency key belongs to a run with another payload.
    #[error(
        "run {run} has this idempotency key, but another payload; use another key, or submit the same payload"
    )]
    IdempotencyConflict {
        /// The run with this key.
        run: RunId,
    },
    /// Another run has the id that the caller chose.
    #[error("run {0} exists already; choose another id, or none")]
    RunIdTaken(RunId),
    /// Another task has the id that the caller chose.
    #[error("task {0} exists already; choose another id, or none")]
    TaskIdTaken(TaskId),
    /// The block of ids is too small.
    #[error("{0} ids are not enough for the submission; pass as many as `NewRun::ids_needed` returns")]
    TooFewIds(u32),
    /// The connection of the caller has no tables that this program can write.
    #[error("cannot submit through this connection: {why}")]
    UnsupportedConnection {
        /// The reason, and what to do.
        why: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
