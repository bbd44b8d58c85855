//! Counts of children by outcome, and of tasks by state.

use super::node::{NodeStatus, State};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// The largest number of children of one parent.
pub const MAX_FANOUT: u32 = 10_000_000;

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
        let mut delta = CountDelta::default();
        delta.add(before, after, 1);
        self.add(&delta);
    }

    /// Adds a change of the counts. A count that other programs changed stays between 0 and its maximum.
    pub fn add(&mut self, delta: &CountDelta) {
        let counts = [&mut self.created, &mut self.open, &mut self.failed, &mut self.cancelled];
        for (count, by) in counts.into_iter().zip(delta.children) {
            let sum = i64::from(*count).saturating_add(by).max(0);
            *count = u32::try_from(sum).unwrap_or(u32::MAX);
        }
    }
}

/// A change of the counts of a parent and of the state counts of its run.
///
/// It is the sum of any number of transitions: a store adds it to the counts, in any order with others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountDelta {
    /// The change of [`ChildCounts::created`], [`open`](ChildCounts::open), [`failed`](ChildCounts::failed) and
    /// [`cancelled`](ChildCounts::cancelled), in this order.
    pub children: [i64; 4],
    /// The change of the number of tasks in each state, in the order of [`State::ALL`].
    pub states: [i64; 5],
}

impl CountDelta {
    /// Adds `count` children that were created (`before` is `None`) or whose status changed in the same way.
    pub fn add(&mut self, before: Option<NodeStatus>, after: NodeStatus, count: u32) {
        let count = i64::from(count);
        match before {
            None => self.children[0] += count,
            Some(before) => {
                self.change(before, -count);
                self.states[state_index(before.state)] -= count;
            }
        }
        self.change(after, count);
        self.states[state_index(after.state)] += count;
    }

    /// Returns whether children failed permanently that had not before.
    pub fn has_failures(&self) -> bool {
        self.children[2] > 0
    }

    fn change(&mut self, child: NodeStatus, by: i64) {
        if let Some(count) = child_count_index(child) {
            self.children[count] += by;
        }
    }
}

/// The position of the count in [`CountDelta::children`] that includes a child with this status.
fn child_count_index(child: NodeStatus) -> Option<usize> {
    match child.state {
        _ if !child.is_settled() => Some(1),
        State::Failed => Some(2),
        State::Cancelled => Some(3),
        _ => None,
    }
}

fn state_index(state: State) -> usize {
    match state {
        State::Pending => 0,
        State::Running => 1,
        State::Succeeded => 2,
        State::Failed => 3,
        State::Cancelled => 4,
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

    /// Adds a change of the counts. A count that other programs changed stays between 0 and its maximum.
    pub fn add(&mut self, delta: &CountDelta) {
        for (state, by) in State::ALL.into_iter().zip(delta.states) {
            let count = self.of_mut(state);
            *count = count.saturating_add_signed(by);
        }
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
