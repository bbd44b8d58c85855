//! Decides how the runs and tasks of a database of the TypeScript version continue after its import.
//!
//! A store reads the old rows into [`ImportedRows`], makes an [`ImportPlan`] from them, and copies the rows as the plan says.
//! [`tree`] gives each task its position, and [`decide`] its state.

mod decide;
mod plan;
mod problems;
mod rows;
mod tree;

pub(crate) use decide::DecidedTask;
pub(crate) use plan::ImportPlan;
pub(crate) use problems::Problems;
pub(crate) use rows::{ImportedRows, ImportedRun, ImportedTask, MAX_RETRY_COUNT, name_problem};
