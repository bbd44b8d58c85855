//! Requests: validation at every bound, rejections that write nothing, and explanations among many tasks.

mod every_method;
mod explain;
mod fail_fast;
mod fixture;
mod limits;
mod progress;
mod rejections;
mod submissions;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/workload.rs"]
mod workload;
