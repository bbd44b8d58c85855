//! The numbers of a parent, and what they decide.

use crate::transition::{NodeStatus, State};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// What a parent knows of its children, and a run of its root tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildCounts {
    /// How many children there will be; `None` while the fan-out is open, until it is sealed.
    pub total: Option<u32>,
    /// How many children exist.
    pub created: u32,
    /// How many of them are not settled.
    pub open: u32,
    /// How many of them are settled as FAILED.
    pub failed: u32,
    /// How many of them are CANCELLED.
    pub cancelled: u32,
}

impl ChildCounts {
    /// A parent that will have `total` children and has none yet.
    pub fn sealed(total: u32) -> Self {
        Self { total: Some(total), ..Self::default() }
    }

    /// A parent whose number of children is not known yet.
    pub fn open() -> Self {
        Self::default()
    }

    /// Whether the number of children is final.
    pub fn is_sealed(self) -> bool {
        self.total.is_some()
    }

    /// How many children SUCCEEDED.
    pub fn succeeded(self) -> u32 {
        [self.open, self.failed, self.cancelled].into_iter().fold(self.created, u32::saturating_sub)
    }

    /// The indices of the next children to create, at most `limit` of them; `None` when none is missing.
    ///
    /// Children are created in the order of their indices, so that the number of those that exist says
    /// which are missing.
    pub fn next_indices(self, limit: u32) -> Option<RangeInclusive<u32>> {
        let total = self.total.unwrap_or(self.created);
        let last = total.min(self.created.saturating_add(limit));
        (self.created < last).then(|| self.created + 1..=last)
    }

    /// Counts a child that comes into being (`before` is `None`) or moves from one standing to another.
    pub fn apply(&mut self, before: Option<NodeStatus>, after: NodeStatus) {
        match before {
            None => self.created = self.created.saturating_add(1),
            Some(before) => {
                if let Some(counted) = self.counted(before) {
                    *counted = counted.saturating_sub(1);
                }
            }
        }
        if let Some(counted) = self.counted(after) {
            *counted = counted.saturating_add(1);
        }
    }

    /// The number in which a child with that standing is counted; SUCCEEDED is counted in none.
    fn counted(&mut self, child: NodeStatus) -> Option<&mut u32> {
        match child.state {
            _ if !child.is_settled() => Some(&mut self.open),
            State::Failed => Some(&mut self.failed),
            State::Cancelled => Some(&mut self.cancelled),
            _ => None,
        }
    }
}

/// How many tasks of a run are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateCounts {
    /// PENDING tasks.
    pub pending: u64,
    /// RUNNING tasks.
    pub running: u64,
    /// SUCCEEDED tasks.
    pub succeeded: u64,
    /// FAILED tasks, with and without a retry due.
    pub failed: u64,
    /// CANCELLED tasks.
    pub cancelled: u64,
}

impl StateCounts {
    /// Counts a task that comes into being (`before` is `None`) or moves from one state to another.
    pub fn apply(&mut self, before: Option<State>, after: State) {
        if let Some(before) = before {
            let counted = self.of_mut(before);
            *counted = counted.saturating_sub(1);
        }
        let counted = self.of_mut(after);
        *counted = counted.saturating_add(1);
    }

    /// All tasks.
    pub fn total(self) -> u64 {
        self.pending + self.running + self.succeeded + self.failed + self.cancelled
    }

    /// The number for one state.
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
