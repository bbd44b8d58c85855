//! Everything that is read: queries, events, explanations, monitoring.

pub mod edge_values;
pub mod events;
pub mod explain;
pub mod monitor;
pub mod query;
