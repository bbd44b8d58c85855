//! Errors of the store itself, which any request can meet.

use conductor_model::{RunId, TaskId};
use std::error::Error;

/// The store failed. Nothing of the request was written, except possibly after [`StoreError::CommitOutcomeUnknown`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another writer locked the database for longer than the busy timeout. Repeat the request.
    #[error(
        "the database is busy: another writer locked it for longer than the busy timeout; repeat the request"
    )]
    Busy(#[source] Box<dyn Error + Send + Sync>),
    /// COMMIT failed, and it is unknown whether it took effect. Read the run, the idempotency key or the task before you
    /// repeat the request.
    #[error(
        "the commit failed, and it is unknown whether it took effect; read the rows before you repeat the request"
    )]
    CommitOutcomeUnknown(#[source] Box<dyn Error + Send + Sync>),
    /// The disk failed or is full. The store has closed the connection; the next request opens a new one.
    #[error("cannot read or write the database; check the disk")]
    Io(#[source] Box<dyn Error + Send + Sync>),
    /// The run of the request does not exist: the id is wrong, or the run was pruned.
    #[error("run {0} does not exist; check the id, or whether it was pruned")]
    RunNotFound(RunId),
    /// The task that the cursor of the request names does not exist, or belongs to another run.
    #[error("task {0} of the cursor does not exist; start without a cursor")]
    TaskNotFound(TaskId),
    /// The request is larger than one bounded transaction allows. Split it.
    #[error("{len} items in one request are too many; at most {max}")]
    BatchTooLarge {
        /// The number of items in the request.
        len: usize,
        /// The largest allowed number.
        max: usize,
    },
    /// A row is not as the store wrote it: another program changed it. See [`Admin::repair`](crate::Admin::repair).
    #[error("{row} cannot be read: {reason}")]
    CorruptRow {
        /// The row, for instance `task 01J…`.
        row: String,
        /// The fault.
        reason: String,
    },
    /// Any other error of the database.
    #[error("database error")]
    Backend(#[source] Box<dyn Error + Send + Sync>),
}

impl StoreError {
    /// Returns whether the same request may succeed when it is repeated.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy(_))
    }

    /// Returns whether the store must close the connection that met the error.
    #[cfg(feature = "sqlite")]
    pub(crate) fn invalidates_connection(&self) -> bool {
        matches!(self, Self::Io(_) | Self::CommitOutcomeUnknown(_))
    }
}
