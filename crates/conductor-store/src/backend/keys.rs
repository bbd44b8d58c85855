//! The keys by which a store finds its rows.

use std::fmt;

/// The key of a run. A store never gives it to another run. Runs are listed in the order of their keys: of two runs, the one
/// with the smaller key is the older one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunKey(pub u64);

/// The key of a task. A store never gives it to another task.
///
/// The keys of one [block](super::Block) follow each other in the order of the indices. The keys of children are larger
/// than that of their parent. Of two tasks, the one with the smaller key is the older one. Nothing else is promised about
/// the keys of two blocks: a transaction may use keys that it took before another one was committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey(pub u64);

impl TaskKey {
    /// Returns the key that lies so far behind this one.
    #[must_use]
    pub fn plus(self, offset: u16) -> Self {
        Self(self.0.saturating_add(u64::from(offset)))
    }
}

/// The parent of tasks: another task, or the run for its root tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParentKey {
    /// The run.
    pub run: RunKey,
    /// The parent; `None` for the root tasks of the run.
    pub task: Option<TaskKey>,
}

impl ParentKey {
    /// The run, as the parent of its root tasks.
    pub fn run(run: RunKey) -> Self {
        Self { run, task: None }
    }

    /// A task of the run, as the parent of its children.
    pub fn task(run: RunKey, task: TaskKey) -> Self {
        Self { run, task: Some(task) }
    }
}

/// Where a task stands in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Its parent.
    pub parent: ParentKey,
    /// Whether it is the join of its parent, and so none of the children that are counted.
    pub is_join: bool,
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the run with row key {}", self.0.cast_signed())
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the task with row key {}", self.0.cast_signed())
    }
}
