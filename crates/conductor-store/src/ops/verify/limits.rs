//! How much a verification reads at once.

/// The number of events, or rows, that one transaction reads.
pub(super) const ROWS_PER_TRANSACTION: u32 = 100_000;

/// The number of events, or rows, that are in memory at once.
pub(super) const ROWS_PER_CALL: u32 = 1000;

/// The largest number of lines that the examination of the files returns.
pub(super) const INTEGRITY_LINES: u32 = 100;
