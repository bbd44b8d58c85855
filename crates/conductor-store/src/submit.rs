//! Submit a run with its root tasks.

use crate::{Environment, StoreError};
use conductor_model::{IdBlock, NewRun, RunId, TaskId, Timestamp};

/// Submit a run with its root tasks, in one transaction.
#[derive(Clone, Debug)]
pub struct Submit {
    /// The run.
    pub run: NewRun,
    /// The present moment.
    pub now: Timestamp,
    /// Ids for the run and for each task that has none of the caller's; [`NewRun::ids_needed`] are enough.
    pub ids: IdBlock,
}

impl Submit {
    /// Submits the run now, with ids from the source.
    pub fn new(run: NewRun, env: &Environment) -> Self {
        let ids = env.ids(run.ids_needed());
        Self { run, now: env.now(), ids }
    }
}

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmitOutcome {
    /// The run.
    pub run: RunId,
    /// Whether it was created now; otherwise its idempotency key had been used for the same payload.
    pub created: bool,
}

/// The run was not submitted. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The draft has issues. Only a caller that validates a draft returns this; a store gets a valid run.
    #[error(transparent)]
    Invalid(#[from] conductor_model::ValidationError),
    /// The idempotency key belongs to a run with another payload.
    #[error(
        "the idempotency key was used for run {run} with another payload; use another key, or submit the same"
    )]
    IdempotencyConflict {
        /// That run.
        run: RunId,
    },
    /// The caller's id belongs to a run already.
    #[error("there is a run {0} already; choose another id, or none")]
    RunIdTaken(RunId),
    /// The caller's id belongs to a task already.
    #[error("there is a task {0} already; choose another id, or none")]
    TaskIdTaken(TaskId),
    /// The block of ids is too small.
    #[error("the submission needs more ids than the {0} that it was given")]
    TooFewIds(u32),
    /// The caller's connection does not lead to tables that this program can write.
    #[error("nothing can be submitted through this connection: {why}")]
    UnsupportedConnection {
        /// Why, and what to do about it.
        why: String,
    },
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}
