//! Makes the number of children of an open fan-out final.

use crate::{Environment, NodeId, StoreError};
use conductor_model::{TaskId, Timestamp};

/// A request to make the number of children of an open fan-out final, in one transaction.
#[derive(Clone, Copy, Debug)]
pub struct Seal {
    /// The parent, or the run.
    pub parent: NodeId,
    /// The number of children that the caller has appended; the store checks that no append was lost. 0 is allowed.
    pub children: u32,
    /// The present moment.
    pub now: Timestamp,
}

impl Seal {
    /// Creates a request. The time comes from `env`.
    pub fn new(parent: NodeId, children: u32, env: &Environment) -> Self {
        Self { parent, children, now: env.now() }
    }
}

/// A seal failed. Nothing was written.
///
/// Sealing again with the same number is not an error; it changes nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The parent does not exist.
    #[error("{0} does not exist; check the id, or whether the run was pruned")]
    NotFound(NodeId),
    /// The task is a leaf.
    #[error("task {0} has no fan-out; seal only a task submitted as `open`")]
    NotAParent(TaskId),
    /// The parent was sealed with another number.
    #[error("{parent} is sealed with {} already, not {given}; the number is final", children(*.parent, *.sealed))]
    AlreadySealed {
        /// The parent, or the run.
        parent: NodeId,
        /// The number of the earlier seal.
        sealed: u32,
        /// The number of this seal.
        given: u32,
    },
    /// The caller has counted another number of children.
    #[error(
        "{parent} has {}, not {given}: {}",
        children(*.parent, *.exist),
        if given > exist { "append the missing ones first" } else { "count again" }
    )]
    CountMismatch {
        /// The parent, or the run.
        parent: NodeId,
        /// The number of children that exist.
        exist: u32,
        /// The number of this seal.
        given: u32,
    },
    /// The parent has settled.
    #[error("{0} is settled; it needs no seal")]
    AlreadySettled(NodeId),
    /// The parent or one of its ancestors is being cancelled.
    #[error("{0} is being cancelled; it needs no seal")]
    CancelInProgress(NodeId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Returns a number of children of a task, or of root tasks of a run.
fn children(parent: NodeId, number: u32) -> String {
    let (one, many) = match parent {
        NodeId::Task(_) => ("child", "children"),
        NodeId::Run(_) => ("root task", "root tasks"),
    };
    format!("{number} {}", if number == 1 { one } else { many })
}
