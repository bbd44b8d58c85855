//! SQL of verifications and repairs.

mod columns;
pub(super) mod events;
pub(super) mod inputs;
pub(super) mod keys;
pub(super) mod runs;
pub(super) mod tasks;
pub(super) mod writes;
