//! The store under test, and its factory.

use conductor_store::{Admin, Monitor, Query, Store};

/// All four traits of a store.
pub trait AnyStore: Store + Admin + Query + Monitor {}

impl<S: Store + Admin + Query + Monitor + ?Sized> AnyStore for S {}

/// The result of a factory: a store, or a value that owns one and cleans up on drop.
pub trait Fixture {
    /// Returns the store. It is empty when the test starts.
    fn store(&self) -> &dyn AnyStore;
}

impl<S: AnyStore> Fixture for S {
    fn store(&self) -> &dyn AnyStore {
        self
    }
}
