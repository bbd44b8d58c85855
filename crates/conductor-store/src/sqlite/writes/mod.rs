//! Inserts, changes and removes rows.

pub(crate) mod insert;
pub(crate) mod leaves;
pub(crate) mod prune;
