//! The statements behind queries, explanations and monitoring, and how their rows are mapped.

pub(super) mod child_results;
pub(super) mod claims;
pub(super) mod counts;
pub(super) mod events;
pub(super) mod explain_rows;
pub(super) mod find_child;
pub(super) mod latest_events;
pub(super) mod leaf_states;
pub(super) mod locate;
pub(super) mod progress;
pub(super) mod runs;
pub(super) mod stuck;
pub(super) mod tasks;
pub(super) mod work;
