//! The lifecycle of a run: submit, fan out, append, seal, report, aggregate, retry, promote.

pub mod aggregate;
pub mod append;
pub mod fan_out;
pub mod promote;
pub mod report;
pub mod retry;
pub mod seal;
pub mod submit;
