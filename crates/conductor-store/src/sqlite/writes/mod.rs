//! Writes of operations.

pub(super) mod insert;
pub(super) mod leaves;
pub(super) mod prune;
pub(super) mod reclaim;
