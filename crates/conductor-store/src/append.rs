//! Append children to an open fan-out.

use crate::{Environment, NodeId, StoreError};
use conductor_model::{IdBlock, Json, NewTask, RunId, TaskId, Timestamp, ValidationError};

/// Append children to an open fan-out, in one transaction.
///
/// `first_index` says where the first of them belongs. Those that exist already add nothing, so that a
/// caller who does not know whether an append arrived makes it again.
#[derive(Clone, Debug)]
pub enum Append {
    /// Opaque items, one child each, to an open parent. A `fanout` in them means nothing.
    Items {
        /// The parent.
        parent: TaskId,
        /// The index of the first item, from 1.
        first_index: u32,
        /// The items.
        items: Vec<Json>,
        /// The present moment.
        now: Timestamp,
        /// An id for each item.
        ids: IdBlock,
    },
    /// Root tasks to an open run.
    Tasks {
        /// The run.
        run: RunId,
        /// The index of the first task, from 1.
        first_index: u32,
        /// The tasks.
        tasks: Vec<NewTask>,
        /// The present moment.
        now: Timestamp,
        /// An id for each task, and one for each join.
        ids: IdBlock,
    },
}

impl Append {
    /// Appends items to a parent now, with ids from the source.
    pub fn items(parent: TaskId, first_index: u32, items: Vec<Json>, env: &Environment) -> Self {
        let ids = env.ids(count(items.len()));
        Self::Items { parent, first_index, items, now: env.now(), ids }
    }

    /// Appends root tasks to a run now, with ids from the source.
    pub fn tasks(run: RunId, first_index: u32, tasks: Vec<NewTask>, env: &Environment) -> Self {
        let needed = tasks.iter().take(conductor_model::MAX_TASKS).map(NewTask::ids_needed).sum();
        let ids = env.ids(needed);
        Self::Tasks { run, first_index, tasks, now: env.now(), ids }
    }
}

/// More than [`AppendError::TooMany`] allows are refused by it, not by the number of ids.
fn count(len: usize) -> u32 {
    u32::try_from(len.min(conductor_model::MAX_TASKS)).unwrap_or(u32::MAX)
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendOutcome {
    /// How many children were created; those that existed already are not counted.
    pub created: u32,
    /// The index that the next append begins with.
    pub next_index: u32,
}

/// Nothing was appended. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// An item or a task draft has issues. Only a caller that validates them returns this; a store gets valid values.
    #[error(transparent)]
    Invalid(#[from] ValidationError),
    /// There is no such run or task.
    #[error("there is no {0}")]
    NotFound(NodeId),
    /// The task is a leaf.
    #[error("task {0} has no fan-out; only a task submitted as `open` gets children by append")]
    NotAParent(TaskId),
    /// The number of children is final.
    #[error("{0} is sealed, and takes no more children")]
    Sealed(NodeId),
    /// It has ended.
    #[error("{0} has ended, and takes no more children")]
    AlreadySettled(NodeId),
    /// It, or something above it, is being cancelled.
    #[error("{0} is being cancelled, and takes no more children")]
    CancelInProgress(NodeId),
    /// Children are missing before the first one of this append.
    #[error("the append begins at index {given}, but the next one is {expected}")]
    IndexGap {
        /// The index that was given.
        given: u32,
        /// The index that the next child gets.
        expected: u32,
    },
    /// Indices count from 1.
    #[error("indices count from 1, not from 0")]
    IndexZero,
    /// More at once than a bounded transaction takes, or more in all than a parent may have.
    #[error("{len} are too many: at most {max} {}", if *.at_once { "at once" } else { "children in all" })]
    TooMany {
        /// How many there are.
        len: usize,
        /// How many there may be.
        max: usize,
        /// Whether the bound is on one append, or on all children of the parent.
        at_once: bool,
    },
    /// The caller's id belongs to a task already.
    #[error("there is a task {0} already; choose another id, or none")]
    TaskIdTaken(TaskId),
    /// The block of ids is too small.
    #[error("the append needs more ids than the {0} that it was given")]
    TooFewIds(u32),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}
