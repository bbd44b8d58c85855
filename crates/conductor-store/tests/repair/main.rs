//! Rows that another program changed are found by verification, and repaired where the events have the value.

mod helpers;
mod joins;
mod random;
mod row_keys;
#[path = "../support/mod.rs"]
mod support;
mod tasks;
mod verify;
