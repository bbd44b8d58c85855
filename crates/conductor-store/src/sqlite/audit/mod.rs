//! SQL of verifications and repairs.

pub(super) mod events;
pub(super) mod inputs;
pub(super) mod keys;
mod parents;
mod place;
mod restore;
pub(super) mod runs;
pub(super) mod tasks;
pub(super) mod writes;
