//! SQL of verifications and repairs.

pub(super) mod events;
pub(super) mod keys;
pub(super) mod runs;
pub(super) mod tasks;
pub(super) mod writes;
