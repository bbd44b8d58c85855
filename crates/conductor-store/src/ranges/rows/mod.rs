//! Rows of the tables, and what they are for operations.

pub(super) mod block;
pub(super) mod events;
pub(super) mod inputs;
pub(super) mod nodes;
pub(super) mod parents;
pub(super) mod places;
pub(super) mod range_rows;
pub(super) mod scope;
pub(super) mod set;
