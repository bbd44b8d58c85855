//! The records of a run of benches: as JSON, as a table, as plots, and beside an earlier run.

pub(crate) mod compare;
pub(crate) mod plot;
mod record;
pub(crate) mod summary;

pub(crate) use record::{Record, read};
