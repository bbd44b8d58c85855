//! The conformance suite of Origin Conductor: the tests that every store passes.
//!
//! A store is a type with the traits `Store`, `Admin`, `Query` and `Monitor`. Its author calls [`suite!`] with
//! a factory, and gets about 500 tests:
//!
//! ```
//! use conductor_store::SqliteStore;
//!
//! mod in_memory {
//!     conductor_conformance::suite!(|| super::SqliteStore::open_in_memory().unwrap());
//! }
//! # fn main() {}
//! ```
//!
//! - The **factory** is called once per test. It returns an empty store, or a [`Fixture`] that owns a store and removes
//!   its files or tables on drop.
//! - The tests run in parallel. Stores of two tests must not share data.
//! - The tests are named after their topics: `in_memory::retry::retry_waits_for_due_time`. A module holds one call.
//! - The tests control time. A store must take the time from its requests, and never from the system clock.
//! - After each test, [`assert_replays`] and [`assert_verified`] compare all rows of the store with its events.
//!
//! A single test is run with [`check`]:
//!
//! ```
//! use conductor_conformance::{check, lifecycle::submit};
//! use conductor_store::SqliteStore;
//!
//! check(&SqliteStore::open_in_memory().unwrap(), submit::run_is_stored_as_submitted);
//! ```
//!
//! # What the suite does not cover
//!
//! Each store needs tests of its own for:
//!
//! - durability: what is left after a crash of the process or of the machine;
//! - concurrency: several threads, connections and processes on the same data;
//! - corruption: rows that another program has changed or removed;
//! - setup: opening, migrating and locking its files or tables;
//! - cost: query plans, and the time that an operation takes.

#![expect(
    missing_docs,
    clippy::missing_panics_doc,
    reason = "the name of a test function says what it checks, and it panics if the store fails"
)]

mod fixture;
mod harness;
mod replays;
mod suite;

pub mod admin;
pub mod cancellation;
pub mod claims;
pub mod lifecycle;
pub mod read;

pub use fixture::{AnyStore, Fixture};
pub use harness::Harness;
pub use replays::{assert_replays, assert_verified};

/// Runs one test on an empty store, and then compares the rows of the store with its events.
///
/// # Panics
/// If the store fails the test.
pub fn check(fixture: &impl Fixture, test: fn(&Harness<'_>)) {
    let store = fixture.store();
    test(&Harness::new(store));
    assert_replays(store);
    assert_verified(store);
}

/// Runs the example of the README as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
