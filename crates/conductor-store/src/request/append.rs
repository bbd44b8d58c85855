//! Adds children to an open fan-out.

use crate::{Environment, NodeId, StoreError};
use conductor_model::{IdBlock, Json, NewTask, RunId, TaskId, Timestamp, ValidationError};

/// A request to add children to an open fan-out, in one transaction.
///
/// Appends are idempotent: `first_index` is the index of the first new child, and children that exist already are skipped.
/// After a timeout, repeat the same append.
#[derive(Clone, Debug)]
pub enum Append {
    /// Adds one leaf per item to an open parent. The key `fanout` in an item has no effect.
    Items {
        /// The parent.
        parent: TaskId,
        /// The index of the first item, from 1.
        first_index: u32,
        /// The items.
        items: Vec<Json>,
        /// The present moment.
        now: Timestamp,
        /// One id per item.
        ids: IdBlock,
    },
    /// Adds root tasks to an open run.
    Tasks {
        /// The run.
        run: RunId,
        /// The index of the first task, from 1.
        first_index: u32,
        /// The tasks.
        tasks: Vec<NewTask>,
        /// The present moment.
        now: Timestamp,
        /// One id per task, and one per join.
        ids: IdBlock,
    },
}

impl Append {
    /// Creates a request for items. Time and ids come from `env`.
    pub fn items(parent: TaskId, first_index: u32, items: Vec<Json>, env: &Environment) -> Self {
        let ids = env.ids(count(items.len()));
        Self::Items { parent, first_index, items, now: env.now(), ids }
    }

    /// Creates a request for root tasks. Time and ids come from `env`.
    pub fn tasks(run: RunId, first_index: u32, tasks: Vec<NewTask>, env: &Environment) -> Self {
        let needed = tasks.iter().take(conductor_model::MAX_TASKS).map(NewTask::ids_needed).sum();
        let ids = env.ids(needed);
        Self::Tasks { run, first_index, tasks, now: env.now(), ids }
    }
}

/// The number of ids. An append that is too large fails with [`AppendError::TooMany`], and not for lack of ids.
fn count(len: usize) -> u32 {
    u32::try_from(len.min(conductor_model::MAX_TASKS)).unwrap_or(u32::MAX)
}

/// The outcome of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendOutcome {
    /// The number of created children, without those that existed already.
    pub created: u32,
    /// The first index of the next append.
    pub next_index: u32,
}

/// An append failed. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// An item or a task draft is invalid. Callers that validate drafts return this; a store does not.
    #[error(transparent)]
    Invalid(#[from] ValidationError),
    /// The parent does not exist.
    #[error("{0} does not exist; check the id, or whether the run was pruned")]
    NotFound(NodeId),
    /// The task is a leaf.
    #[error("task {0} has no fan-out; only a task submitted as `open` gets children by append")]
    NotAParent(TaskId),
    /// The number of children is final.
    #[error("{0} is sealed; start another run for more tasks")]
    Sealed(NodeId),
    /// The parent has settled.
    #[error("{0} is settled; start another run for more tasks")]
    AlreadySettled(NodeId),
    /// The parent or one of its ancestors is being cancelled.
    #[error("{0} is being cancelled; append nothing more")]
    CancelInProgress(NodeId),
    /// The append would leave a gap in the indices.
    #[error("the append starts at index {given}, but the next index is {expected}; append from {expected}")]
    IndexGap {
        /// The first index of the append.
        given: u32,
        /// The index of the next child.
        expected: u32,
    },
    /// The first index is 0, but indices start at 1.
    #[error("the append starts at index 0; the first index is 1")]
    IndexZero,
    /// The append is larger than one bounded transaction allows, or the parent would get too many children.
    #[error("{len} children are too many; at most {max} {}", if *.at_once { "per append" } else { "per parent" })]
    TooMany {
        /// The number of children.
        len: usize,
        /// The largest allowed number.
        max: usize,
        /// Whether the limit applies to one append; otherwise it applies to all children of the parent.
        at_once: bool,
    },
    /// Another task has the id that the caller chose.
    #[error("task {0} exists already; choose another id, or none")]
    TaskIdTaken(TaskId),
    /// The block of ids is too small.
    #[error("{0} ids are not enough for the append; pass one per task and one per join")]
    TooFewIds(u32),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
