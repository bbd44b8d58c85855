//! The contract of a store, as tests that the author of any store runs with one call.
//!
//! A promise is a function whose name says it, in the file of its topic; [`suite!`] makes a test of each. The
//! factory is called once per test and gives an empty store, or a [`Fixture`] around one that cleans up when it
//! is dropped.
//!
//! ```
//! use conductor_store::{SqliteStore, conformance};
//!
//! conformance::suite!(|| SqliteStore::open_in_memory().unwrap());
//! # fn main() {}
//! ```
//!
//! One call per module, since the tests are named after their topics: `retry::a_retry_waits_for_its_time`. After
//! every promise the whole history is computed again from its events and must give the same rows.
//!
//! What the suite cannot know is how a store survives a crash, or what it does to rows that another program
//! changed: that is for the store's own tests.

mod hands;
mod people;
mod replays;
mod suite;
mod suite_of_ends;
mod world;

#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod aggregate;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod append;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod cancel;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod claim;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod enlist;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod events;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod expire;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod explain;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod fan_out;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod held;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod join;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod join_marks;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod monitor;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod policy;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod progress;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod promote;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod prune;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod query;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod release;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod renew;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod report;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod rescue;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod retry;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod revive;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod seal;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod settle;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod submit;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod sweep;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod values;
#[expect(missing_docs, clippy::missing_panics_doc, reason = "the name is the promise, a panic its breach")]
pub mod verify;

pub use crate::__conformance_suite as suite;
pub use replays::{assert_replays, assert_verified};
pub use world::World;

use crate::{Admin, Monitor, Query, Store};

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
