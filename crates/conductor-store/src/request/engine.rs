//! Registers engines with a store.

use crate::Environment;
use conductor_model::{EngineId, Kind, Timestamp};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;

/// A request to register an engine with a store. An engine registers before its first claim.
#[derive(Clone, Debug)]
pub struct RegisterEngine {
    /// The id of the engine. Each start needs a new id, because process ids are reused.
    pub engine: EngineId,
    /// The kinds that the engine handles. Other processes read this to explain why a task is not claimed.
    pub capabilities: EngineCapabilities,
    /// The present moment.
    pub now: Timestamp,
}

impl RegisterEngine {
    /// Creates a request for a new engine. Time and id come from `env`.
    ///
    /// # Panics
    /// Never: a block of one holds an id.
    pub fn new(env: &Environment) -> Self {
        let engine = env.ids(1).take_engine().expect("a block of one holds an id");
        Self { engine, capabilities: EngineCapabilities::default(), now: env.now() }
    }

    /// Sets what the engine handles. Default: nothing.
    pub fn capabilities(self, capabilities: EngineCapabilities) -> Self {
        Self { capabilities, ..self }
    }
}

/// The kinds that an engine handles, and how many tasks it runs at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineCapabilities {
    /// The number of tasks that the engine runs at once.
    pub workers: u32,
    /// The kinds, each with its own limit of tasks at once; `None` if only `workers` limits it.
    pub kinds: BTreeMap<Kind, Option<u32>>,
}

impl EngineCapabilities {
    /// Returns how many tasks of a kind the engine runs at once; `None` if it does not handle the kind.
    pub fn limit_of(&self, kind: &Kind) -> Option<u32> {
        let limit = self.kinds.get(kind)?;
        Some(limit.map_or(self.workers, |limit| limit.min(self.workers)))
    }
}

/// The registration of an engine. The engine counts as alive while this value exists.
///
/// Once it is dropped or the process ends, the next rescue of another engine fails the claims of this engine.
pub struct EngineRegistration {
    key: EngineKey,
    _sign: Box<dyn Any + Send + Sync>,
}

/// The internal number of a registered engine in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EngineKey(pub u64);

impl EngineRegistration {
    /// Creates a registration; for stores. Dropping `sign` must show other processes that the engine is gone.
    pub fn new(key: EngineKey, sign: impl Any + Send + Sync) -> Self {
        Self { key, _sign: Box::new(sign) }
    }

    /// Returns the key for the claims of the engine.
    pub fn key(&self) -> EngineKey {
        self.key
    }
}

impl fmt::Debug for EngineRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineRegistration").field("key", &self.key).finish_non_exhaustive()
    }
}
