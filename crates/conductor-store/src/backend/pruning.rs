//! What prunes ask of a store, and what it answers.

use super::RunKey;

/// What a prune can do next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneWork {
    /// A run to prune.
    pub run: Option<PrunableRun>,
    /// Whether the store can return space to the system. It may be `false` while there is a run to prune.
    pub has_free_space: bool,
}

/// A run to prune.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrunableRun {
    /// Its key.
    pub key: RunKey,
    /// Whether an earlier transaction began to prune it.
    pub has_begun: bool,
}

/// What a transaction of a prune may still remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneBudget {
    /// The number of tasks and events. A store may charge more for those that do not share rows with others.
    pub rows: u32,
    /// The number of bytes of inputs, outputs and event payloads. It is negative where the last row was larger than
    /// the rest of the budget.
    pub bytes: i64,
}

impl PruneBudget {
    /// Returns whether nothing more may be removed.
    pub fn is_used_up(&self) -> bool {
        self.rows == 0 || self.bytes <= 0
    }

    /// Subtracts so many rows with so many bytes.
    pub fn spend(&mut self, rows: u32, bytes: i64) {
        self.rows = self.rows.saturating_sub(rows);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// What a prune removed in one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The number of tasks.
    pub tasks: u32,
    /// The number of events.
    pub events: u32,
    /// The number of bytes that were returned to the system.
    pub bytes: u64,
    /// Whether nothing is left of the run, or no free space.
    pub is_complete: bool,
}
