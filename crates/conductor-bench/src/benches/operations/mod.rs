//! Benches of one operation each.

pub(super) mod claim;
pub(super) mod fan_out;
pub(super) mod join;
pub(super) mod prune;
pub(super) mod retry;
pub(super) mod revive;
pub(super) mod verify;
