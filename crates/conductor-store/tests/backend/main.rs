//! The traits of a backend, as SQLite implements them.
#![cfg(feature = "sqlite")]

mod older_rows;
mod rules;
#[path = "../support/mod.rs"]
mod support;
