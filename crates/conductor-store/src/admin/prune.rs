//! Deletes settled runs, and frees their space.

use conductor_model::Timestamp;

/// A request to delete runs that settled before a given time, with all their tasks and events.
///
/// A run is settled when its state is final and no task below it is open. As soon as pruning starts, the run is no longer
/// visible, and its id and idempotency key can be reused. Its rows are deleted in as many bounded transactions as needed. If
/// a prune is interrupted, the next one continues it.
#[derive(Clone, Copy, Debug)]
pub struct Prune {
    /// Deletes runs that settled before this time.
    pub settled_before: Timestamp,
    /// The largest number of tasks and events that one transaction deletes; 0 counts as 1. It deletes fewer of those that do
    /// not share their rows with others.
    pub limit: u32,
}

impl Prune {
    /// The default limit. A transaction of this size delays other writers by a few milliseconds.
    pub const ROWS: u32 = 10_000;

    /// Creates a request with the limit [`Prune::ROWS`].
    pub fn before(settled_before: Timestamp) -> Self {
        Self { settled_before, limit: Self::ROWS }
    }
}

/// The outcome of one transaction of a prune.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneOutcome {
    /// The number of runs that are deleted completely.
    pub runs: u32,
    /// The number of deleted tasks.
    pub tasks: u32,
    /// The number of deleted events.
    pub events: u32,
    /// The number of bytes that the store returned to the system.
    pub bytes: u64,
    /// Whether another prune may find work: see [`StepOutcome::more`](crate::StepOutcome::more).
    pub more: bool,
}
