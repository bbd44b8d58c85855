//! A store in memory passes the conformance suite: the operations rely on nothing but the traits of a backend.
//!
//! The store does what a store may do and SQLite does not: see [`memory`].

mod memory;

conductor_conformance::suite!(memory::MemoryStore::default);
