//! What can go wrong with a store itself, whatever was asked of it.

use conductor_model::{RunId, TaskId};
use std::error::Error;

/// The store could not do it. Nothing of the request was written, except after [`StoreError::CommitOutcomeUnknown`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another writer held the database for longer than the busy timeout. Try again.
    #[error("the database is busy: another writer held it for longer than the busy timeout")]
    Busy(#[source] Box<dyn Error + Send + Sync>),
    /// COMMIT itself failed, so that nobody knows whether it took effect. Look up what was to be written (the
    /// run id, the idempotency key, the state of the task) before doing it again.
    #[error("the commit failed, and it is unknown whether it took effect")]
    CommitOutcomeUnknown(#[source] Box<dyn Error + Send + Sync>),
    /// The disk failed or is full. The connection was given up; the next request opens a new one.
    #[error("the database could not be read or written")]
    Io(#[source] Box<dyn Error + Send + Sync>),
    /// The request is about a run that is not there: a wrong id, or a run that was pruned.
    #[error("there is no run {0}")]
    RunNotFound(RunId),
    /// The request goes on after a task that is not there, or that belongs to another run.
    #[error("there is no task {0} to go on after")]
    TaskNotFound(TaskId),
    /// More at once than one bounded transaction takes; make several requests of it.
    #[error("{len} are too many at once: at most {max}")]
    BatchTooLarge {
        /// How many there are.
        len: usize,
        /// How many there may be.
        max: usize,
    },
    /// A row does not hold what was written there: another program changed it.
    #[error("{row} cannot be read: {reason}")]
    CorruptRow {
        /// Which row: `task 01J…`.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Anything else that the database says.
    #[error("the database refused")]
    Backend(#[source] Box<dyn Error + Send + Sync>),
}

impl StoreError {
    /// Whether the same request may succeed if it is simply made again.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy(_))
    }

    /// Whether the connection that met it can no longer be trusted.
    #[cfg(feature = "sqlite")]
    pub(crate) fn invalidates_connection(&self) -> bool {
        matches!(self, Self::Io(_) | Self::CommitOutcomeUnknown(_))
    }
}
