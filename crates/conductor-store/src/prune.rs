//! Remove runs that have ended, and give their space back.

use conductor_model::Timestamp;

/// Remove whole settled runs that ended before a moment, with all that belongs to them.
///
/// A run counts as settled when it has ended and nothing below it is open. Its idempotency key and its id are free again as
/// soon as it is taken; from then on no reader finds it, and its rows go in as many bounded transactions as it takes. What
/// an interrupted prune leaves, the next one removes.
#[derive(Clone, Copy, Debug)]
pub struct Prune {
    /// Runs that ended before this moment.
    pub settled_before: Timestamp,
    /// The bound of the transaction, in rows that are removed; 0 counts as 1.
    pub limit: u32,
}

impl Prune {
    /// So many rows at once keep other writers waiting for a few milliseconds.
    pub const ROWS: u32 = 1000;

    /// Removes runs that ended before that moment, so many rows at once that other writers hardly notice.
    pub fn before(settled_before: Timestamp) -> Self {
        Self { settled_before, limit: Self::ROWS }
    }
}

/// What one transaction of a prune did.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneOutcome {
    /// Runs of which nothing is left.
    pub runs: u32,
    /// Tasks that were removed.
    pub tasks: u32,
    /// Events that were removed.
    pub events: u32,
    /// Bytes that the store gave back.
    pub bytes: u64,
    /// Whether there is more to remove, or to give back.
    pub more: bool,
}
