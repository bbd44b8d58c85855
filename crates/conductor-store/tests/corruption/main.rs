//! Rows that another program changed. The tables reject most changes; all others block no task but their own.

mod helpers;
mod inputs;
mod parents;
mod rows;
#[path = "../support/mod.rs"]
mod support;
