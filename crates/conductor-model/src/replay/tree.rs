//! The tasks of one run, by number, and the children of each parent.

use super::conditions::Conditions;
use super::node::Node;
use crate::state::{ParentStatus, State};
use crate::time::Timestamp;
use std::collections::HashMap;

/// A task, as computed from the events of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunReplayTask {
    /// The number of its parent; `None` on a root task, and on the join of the run.
    pub parent: Option<u32>,
    /// The index among its siblings; 0 on a join.
    pub index: u32,
    /// The state.
    pub state: State,
    /// Whether a retry is scheduled.
    pub retry_scheduled: bool,
    /// The time of that retry, if the events contain it.
    pub due_at: Option<Timestamp>,
    /// How many times it has been retried.
    pub retry_count: u32,
    /// How many times it was started; 0 on a parent.
    pub attempt: u32,
    /// The status on which its decision depends; `None` on a leaf.
    pub status: Option<ParentStatus>,
}

/// Children with consecutive indices and consecutive numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChildRange {
    /// The first index.
    pub(super) first: u32,
    /// The last index.
    pub(super) last: u32,
    /// The number of the first child.
    pub(super) number: u32,
}

/// Tasks with consecutive numbers that have consecutive indices below the same parent, up to the next such tasks.
#[derive(Clone, Copy, Debug)]
struct Siblings {
    /// The number of the first.
    number: u32,
    parent: Option<u32>,
    /// The index of the first.
    index: u32,
}

/// The tasks of one run, by number. A leaf takes two bytes, because a run may have ten million of them.
#[derive(Clone, Debug, Default)]
pub(super) struct TaskTree {
    conditions: Conditions,
    /// In the order of the numbers.
    siblings: Vec<Siblings>,
    /// The parent and the index of tasks whose numbers were reserved.
    reserved: HashMap<u32, (Option<u32>, u32)>,
    /// The statuses of the parents.
    statuses: HashMap<u32, ParentStatus>,
    /// The children of each parent; `None` is the run.
    children_by_parent: HashMap<Option<u32>, Vec<ChildRange>>,
    /// The times of due retries.
    due_at: HashMap<u32, Timestamp>,
}

impl TaskTree {
    pub(super) fn len(&self) -> u32 {
        self.conditions.len()
    }

    pub(super) fn task(&self, number: u32) -> Option<RunReplayTask> {
        let node = self.find(number)?;
        Some(RunReplayTask {
            parent: node.parent,
            index: node.index,
            state: node.state,
            retry_scheduled: node.retry_scheduled,
            due_at: self.due_at.get(&number).copied(),
            retry_count: node.retry_count,
            attempt: node.attempt,
            status: if node.is_parent { self.statuses.get(&number).copied() } else { None },
        })
    }

    pub(super) fn reserve(&mut self) -> u32 {
        let number = self.len();
        self.add_position(number, (None, 0));
        self.conditions.reserve();
        number
    }

    /// Adds a task under its reserved number, or under a new one.
    pub(super) fn insert(
        &mut self,
        reserved: Option<u32>,
        mut node: Node,
        status: Option<ParentStatus>,
    ) -> Result<u32, String> {
        node.is_parent = status.is_some();
        let number = match reserved {
            None => {
                let number = self.len();
                self.add_position(number, (node.parent, node.index));
                self.conditions.push(&node);
                number
            }
            Some(number) => {
                if number >= self.len() || self.find(number).is_some() {
                    return Err("the task already exists".into());
                }
                self.reserved.insert(number, (node.parent, node.index));
                self.conditions.set(number, &node);
                number
            }
        };
        self.statuses.extend(status.map(|status| (number, status)));
        Ok(number)
    }

    pub(super) fn node(&self, number: u32) -> Result<Node, String> {
        self.find(number).ok_or_else(|| "the task does not exist".into())
    }

    /// Changes the condition of a task: all but its parent and its index.
    pub(super) fn set(&mut self, number: u32, node: &Node) {
        self.conditions.set(number, node);
    }

    fn find(&self, number: u32) -> Option<Node> {
        let (parent, index) = match self.reserved.get(&number) {
            Some(position) => *position,
            None => self.position(number)?,
        };
        self.conditions.get(number, Node::new(parent, index))
    }

    /// The parent and the index of a task whose number was not reserved.
    fn position(&self, number: u32) -> Option<(Option<u32>, u32)> {
        let behind = self.siblings.partition_point(|siblings| siblings.number <= number);
        let siblings = self.siblings.get(behind.checked_sub(1)?)?;
        Some((siblings.parent, siblings.index.saturating_add(number - siblings.number)))
    }

    fn add_position(&mut self, number: u32, (parent, index): (Option<u32>, u32)) {
        let follows = self.siblings.last().is_some_and(|last| {
            last.parent == parent && last.index.checked_add(number - last.number) == Some(index)
        });
        if !follows {
            self.siblings.push(Siblings { number, parent, index });
        }
    }

    /// Returns the status of a parent; `None` on a leaf.
    pub(super) fn status(&mut self, number: u32) -> Option<&mut ParentStatus> {
        self.statuses.get_mut(&number)
    }

    /// Adds children that were created together.
    pub(super) fn add_children(&mut self, parent: Option<u32>, children: ChildRange) {
        let known = self.children_by_parent.entry(parent).or_default();
        match known.last_mut() {
            Some(last)
                if last.last.checked_add(1) == Some(children.first)
                    && last.number.checked_add(children.first - last.first) == Some(children.number) =>
            {
                last.last = children.last;
            }
            _ => known.push(children),
        }
    }

    /// Returns the number of a child.
    pub(super) fn child(&self, parent: Option<u32>, index: u32) -> Option<u32> {
        let mut latest_first = self.children_by_parent.get(&parent)?.iter().rev();
        let range = latest_first.find(|range| (range.first..=range.last).contains(&index))?;
        Some(range.number + (index - range.first))
    }

    pub(super) fn set_due_at(&mut self, number: u32, due_at: Timestamp) {
        self.due_at.insert(number, due_at);
    }

    pub(super) fn clear_due_at(&mut self, number: u32) {
        self.due_at.remove(&number);
    }
}
