//! Prune, verify and repair.

pub mod prune;
pub mod verify;
