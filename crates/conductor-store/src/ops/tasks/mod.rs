//! What callers ask of runs and tasks: submit, append, seal, report.

pub(crate) mod append;
mod create_children;
mod create_roots;
pub(crate) mod report;
pub(crate) mod seal;
pub(crate) mod submit;

pub(crate) use create_children::{CountedChildren, NewChildren, count_children, insert_children};
