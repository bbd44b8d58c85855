//! Take a place among the engines that work on a store.

use crate::Environment;
use conductor_model::{EngineId, Kind, Timestamp};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;

/// Take a place among the engines that work on a store, before the first claim.
#[derive(Clone, Debug)]
pub struct RegisterEngine {
    /// The engine, chosen anew at each start: a process id would be some other process's after a restart.
    pub engine: EngineId,
    /// What it handles: so that others can say why something is not claimed.
    pub capabilities: EngineCapabilities,
    /// The present moment.
    pub now: Timestamp,
}

impl RegisterEngine {
    /// A new engine, now.
    ///
    /// # Panics
    /// Never: a block of one holds an id.
    pub fn new(env: &Environment) -> Self {
        let engine = env.ids(1).take_engine().expect("a block of one holds an id");
        Self { engine, capabilities: EngineCapabilities::default(), now: env.now() }
    }

    /// Says what it handles.
    pub fn capabilities(mut self, handles: EngineCapabilities) -> Self {
        self.capabilities = handles;
        self
    }
}

/// What an engine handles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineCapabilities {
    /// How many tasks it runs at once.
    pub workers: u32,
    /// The kinds, each with how many of them it runs at once, if that is limited further.
    pub kinds: BTreeMap<Kind, Option<u32>>,
}

impl EngineCapabilities {
    /// How many tasks of a kind it runs at once; `None` when it does not handle the kind.
    pub fn limit_of(&self, kind: &Kind) -> Option<u32> {
        let limit = self.kinds.get(kind)?;
        Some(limit.map_or(self.workers, |limit| limit.min(self.workers)))
    }
}

/// An engine's place. While it is held the engine lives, in the eyes of others; when it is dropped, or its process ends
/// in whatever way, they take its claims back at the next rescue.
pub struct EngineRegistration {
    holder: EngineKey,
    _sign: Box<dyn Any + Send + Sync>,
}

/// The engine that holds a claim, by the store's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EngineKey(pub u64);

impl EngineRegistration {
    /// For stores: a holder, and what shows that it lives until it is dropped.
    pub fn new(holder: EngineKey, sign: impl Any + Send + Sync) -> Self {
        Self { holder, _sign: Box::new(sign) }
    }

    /// The holder to claim as.
    pub fn key(&self) -> EngineKey {
        self.holder
    }
}

impl fmt::Debug for EngineRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineRegistration").field("key", &self.holder).finish_non_exhaustive()
    }
}
