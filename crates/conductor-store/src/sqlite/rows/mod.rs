//! Rows of the tables, and what they are for operations.

pub(crate) mod block;
pub(crate) mod columns;
pub(crate) mod conditions;
pub(crate) mod event_body;
pub(crate) mod events;
pub(crate) mod inputs;
pub(crate) mod keys;
pub(crate) mod nodes;
pub(crate) mod parents;
pub(crate) mod places;
pub(crate) mod range_rows;
pub(crate) mod scope;
pub(crate) mod set;
pub(crate) mod texts;
