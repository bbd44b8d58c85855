//! The traits that an engine needs of a store.

use conductor_store::{Admin, Monitor, Query, Store};

/// A store that an engine can work on. Every store that implements the four traits is one.
pub trait EngineStore: Store + Query + Admin + Monitor {}

impl<S: Store + Query + Admin + Monitor + ?Sized> EngineStore for S {}
