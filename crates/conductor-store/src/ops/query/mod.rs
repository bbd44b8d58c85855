//! The operations of [`Query`](crate::Query), except explanations.

mod child_results;
mod claims;
mod events;
mod progress;
mod records;
mod work;

pub(crate) use child_results::{child_failures, child_outputs};
pub(crate) use claims::{stale_claims, unknown_claims};
pub(crate) use events::events;
pub(crate) use progress::{run_progress, task_progress};
pub(crate) use records::{children, run, runs, task, tasks};
pub(crate) use work::{next_due, ready_kinds, run_blockers, state_counts};
