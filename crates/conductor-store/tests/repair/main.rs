//! Rows that another program changed are found by verification, and repaired where the events have the value.

#[path = "../support/damaged.rs"]
mod damaged;
mod helpers;
mod joins;
mod random;
mod row_keys;
#[path = "../support/mod.rs"]
mod support;
mod tasks;
mod trees;
mod verify;
