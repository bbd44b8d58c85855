//! The traits of a backend, as SQLite implements them, and the store in memory of the conformance suite.
#![cfg(feature = "sqlite")]

#[path = "../../../conductor-conformance/tests/memory_store/memory/mod.rs"]
mod memory;
mod older_rows;
mod positions;
mod rules;
#[path = "../support/mod.rs"]
mod support;
