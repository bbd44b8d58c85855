//! The contract of a store, as tests that the author of any store runs with one call.
//!
//! A promise is a function whose name says it, in the file of its topic; [`suite!`] makes a test of each. The
//! factory is called once per test and gives an empty store, or a [`Fixture`] around one that cleans up when it
//! is dropped.
//!
//! ```
//! use conductor_store::SqliteStore;
//!
//! conductor_conformance::suite!(|| SqliteStore::open_in_memory().unwrap());
//! # fn main() {}
//! ```
//!
//! One call per module, since the tests are named after their topics: `retry::a_retry_waits_for_its_time`. After
//! every promise the whole history is computed again from its events and must give the same rows.
//!
//! What the suite cannot know is how a store survives a crash, or what it does to rows that another program
//! changed: that is for the store's own tests.

#![expect(
    missing_docs,
    clippy::missing_panics_doc,
    reason = "the name of a test is its guarantee; a panic is its failure"
)]

mod harness;
mod replays;
mod suite;

pub mod admin;
pub mod cancellation;
pub mod claims;
pub mod lifecycle;
pub mod read;

pub use harness::World;
pub use replays::{assert_replays, assert_verified};

use conductor_store::{Admin, Monitor, Query, Store};

/// Everything that a store does.
pub trait AnyStore: Store + Admin + Query + Monitor {}

impl<S: Store + Admin + Query + Monitor + ?Sized> AnyStore for S {}

/// What a factory makes: a store, or something that holds one and cleans up after it.
pub trait Fixture {
    /// The store, empty.
    fn store(&self) -> &dyn AnyStore;
}

impl<S: AnyStore> Fixture for S {
    fn store(&self) -> &dyn AnyStore {
        self
    }
}

/// Tries one promise on an empty store, and computes its history again.
///
/// # Panics
/// When the promise is broken.
pub fn check(fixture: &impl Fixture, promise: fn(&World<'_>)) {
    let store = fixture.store();
    promise(&World::of(store));
    assert_replays(store);
    assert_verified(store);
}
