//! The rows that fences name, as far as the fences hold.

use super::task_row::TaskRow;
use crate::{Fence, StoreError};
use conductor_model::{NodeType, fence_is_valid};
use rusqlite::Connection;
use std::collections::HashMap;

/// The tasks that a request names, each to be taken once.
pub(super) struct Fences(HashMap<i64, TaskRow>);

impl Fences {
    pub(super) fn read(tx: &Connection, fences: &[Fence]) -> Result<Self, StoreError> {
        let rows = TaskRow::by_keys(tx, fences.iter().map(|fence| fence.key.cast_signed()))?;
        Ok(Self(rows.into_iter().map(|row| (row.key, row)).collect()))
    }

    /// The task, if the fence holds; a second time it does not.
    pub(super) fn take(&mut self, fence: Fence) -> Option<TaskRow> {
        let key = fence.key.cast_signed();
        let task = self.0.get(&key)?;
        // The id guards against a number from another database.
        let holds = task.id == fence.task
            && task.shape == NodeType::Leaf
            && fence_is_valid(task.state, task.lease_until.is_some(), task.attempt, fence.attempt);
        if holds { self.0.remove(&key) } else { None }
    }
}
