//! Counts of children by outcome, and of tasks by state.

use super::node::{NodeStatus, State};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// The counts of the children of a parent, or of the root tasks of a run. The join is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildCounts {
    /// The final number of children; `None` while the fan-out is open.
    pub total: Option<u32>,
    /// The number of children that exist.
    pub created: u32,
    /// The number of children that are not settled.
    pub open: u32,
    /// The number of children that are settled as FAILED.
    pub failed: u32,
    /// The number of children that are CANCELLED.
    pub cancelled: u32,
}

impl ChildCounts {
    /// Creates the counts of a parent that will have `total` children and has none yet.
    pub fn sealed(total: u32) -> Self {
        Self { total: Some(total), ..Self::default() }
    }

    /// Creates the counts of an open fan-out without children.
    pub fn open() -> Self {
        Self::default()
    }

    /// Returns whether the number of children is final.
    pub fn is_sealed(self) -> bool {
        self.total.is_some()
    }

    /// Returns the number of children that SUCCEEDED.
    pub fn succeeded(self) -> u32 {
        [self.open, self.failed, self.cancelled].into_iter().fold(self.created, u32::saturating_sub)
    }

    /// Returns the indices of the next children to create, at most `limit`; `None` if no child is missing.
    ///
    /// Children are created in the order of their indices, which start at 1.
    pub fn next_indices(self, limit: u32) -> Option<RangeInclusive<u32>> {
        let total = self.total.unwrap_or(self.created);
        let last = total.min(self.created.saturating_add(limit));
        (self.created < last).then(|| self.created + 1..=last)
    }

    /// Counts a child that was created (`before` is `None`) or whose status changed.
    pub fn apply(&mut self, before: Option<NodeStatus>, after: NodeStatus) {
        match before {
            None => self.created = self.created.saturating_add(1),
            Some(before) => {
                if let Some(count) = self.count_mut(before) {
                    *count = count.saturating_sub(1);
                }
            }
        }
        if let Some(count) = self.count_mut(after) {
            *count = count.saturating_add(1);
        }
    }

    /// Returns the count that includes a child with this status; SUCCEEDED has no count of its own.
    fn count_mut(&mut self, child: NodeStatus) -> Option<&mut u32> {
        match child.state {
            _ if !child.is_settled() => Some(&mut self.open),
            State::Failed => Some(&mut self.failed),
            State::Cancelled => Some(&mut self.cancelled),
            _ => None,
        }
    }
}

/// The number of tasks of a run in each state. Joins are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateCounts {
    /// The number of PENDING tasks.
    pub pending: u64,
    /// The number of RUNNING tasks.
    pub running: u64,
    /// The number of SUCCEEDED tasks.
    pub succeeded: u64,
    /// The number of FAILED tasks, with and without a scheduled retry.
    pub failed: u64,
    /// The number of CANCELLED tasks.
    pub cancelled: u64,
}

impl StateCounts {
    /// Counts a task that was created (`before` is `None`) or whose state changed.
    pub fn apply(&mut self, before: Option<State>, after: State) {
        if let Some(before) = before {
            let count = self.of_mut(before);
            *count = count.saturating_sub(1);
        }
        let count = self.of_mut(after);
        *count = count.saturating_add(1);
    }

    /// Returns the number of all tasks.
    pub fn total(self) -> u64 {
        self.pending + self.running + self.succeeded + self.failed + self.cancelled
    }

    /// Returns the number of tasks in this state.
    pub fn of(self, state: State) -> u64 {
        match state {
            State::Pending => self.pending,
            State::Running => self.running,
            State::Succeeded => self.succeeded,
            State::Failed => self.failed,
            State::Cancelled => self.cancelled,
        }
    }

    fn of_mut(&mut self, state: State) -> &mut u64 {
        match state {
            State::Pending => &mut self.pending,
            State::Running => &mut self.running,
            State::Succeeded => &mut self.succeeded,
            State::Failed => &mut self.failed,
            State::Cancelled => &mut self.cancelled,
        }
    }
}
