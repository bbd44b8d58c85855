//! Requests: validation at every bound, rejections that write nothing, and explanations among many tasks.

mod explain;
mod fixture;
mod limits;
mod rejections;
mod submissions;
#[path = "../support/mod.rs"]
mod support;
