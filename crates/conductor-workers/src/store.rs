//! What an engine needs of a store.

use conductor_store::{Admin, Query, Store};

/// A store that an engine can work on: it takes requests, answers questions, and can be tidied up. Every store is one.
pub trait EngineStore: Store + Query + Admin {}

impl<S: Store + Query + Admin + ?Sized> EngineStore for S {}
