//! Seal an open fan-out: its number of children is final.

use crate::{Environment, NodeId, StoreError};
use conductor_model::{TaskId, Timestamp};

/// Seal an open fan-out, in one transaction.
#[derive(Clone, Copy, Debug)]
pub struct Seal {
    /// The parent, or the run.
    pub parent: NodeId,
    /// How many children it has, as the caller counts: a check that no append was lost. 0 is a number too.
    pub children: u32,
    /// The present moment.
    pub now: Timestamp,
}

impl Seal {
    /// Seals it now.
    pub fn new(parent: NodeId, children: u32, env: &Environment) -> Self {
        Self { parent, children, now: env.now() }
    }
}

/// Nothing was sealed. Nothing was written.
///
/// Sealing again with the same number is no error and changes nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// There is no such run or task.
    #[error("there is no {0}")]
    NotFound(NodeId),
    /// The task is a leaf.
    #[error("task {0} has no fan-out, and nothing to seal")]
    NotAParent(TaskId),
    /// It was sealed with another number.
    #[error("{parent} is sealed with {sealed} children, not {given}")]
    AlreadySealed {
        /// The parent, or the run.
        parent: NodeId,
        /// The number that it was sealed with.
        sealed: u32,
        /// The number that was given.
        given: u32,
    },
    /// The caller counts otherwise.
    #[error(
        "{parent} has {exist} children, not {given}: {}",
        if given > exist { "append the missing ones first" } else { "count again" }
    )]
    CountMismatch {
        /// The parent, or the run.
        parent: NodeId,
        /// How many children exist.
        exist: u32,
        /// The number that was given.
        given: u32,
    },
    /// It has ended.
    #[error("{0} has ended")]
    AlreadySettled(NodeId),
    /// It, or something above it, is being cancelled.
    #[error("{0} is being cancelled, and cannot be sealed")]
    CancelInProgress(NodeId),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}
