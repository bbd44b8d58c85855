//! Rows that another program changed. The tables reject most changes; all others block no task but their own.

mod blocks;
#[path = "../support/damaged.rs"]
mod damaged;
mod ended;
mod helpers;
mod inputs;
mod limits;
mod others;
mod parents;
mod ranges;
mod rows;
#[path = "../support/mod.rs"]
mod support;
