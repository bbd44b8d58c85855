//! Everything that is read: queries, events, explanations, monitoring.

pub mod child_results;
pub mod edge_values;
pub mod eta;
pub mod events;
pub mod explain;
pub mod explain_settled;
pub mod monitor;
pub mod polling;
pub mod query;
pub mod stuck;
