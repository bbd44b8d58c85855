//! Random programs against a store beside a plain reference: states, counts and events agree after each operation, and
//! the rows agree with the events alone. The stores are SQLite, and the store in memory of the conformance suite.

mod apply;
mod cancel_revive;
mod checks;
mod claims;
mod corpus;
mod harness;
#[path = "../../../conductor-conformance/tests/memory_store/memory/mod.rs"]
mod memory;
mod programs;
mod random;
mod reference;
mod regressions;
mod steps;
mod submissions;
