//! The warnings of engines.

use super::trace;
use crate::engine_store::EngineStore;
use conductor_model::Kind;
use conductor_store::{MAX_PAGE, StoreError};
use std::collections::HashSet;
use std::fmt;

/// How many different warnings an engine emits at most.
const MAX_WARNINGS: usize = 10_000;

/// A problem that the engine reports and that does not stop it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Warning {
    /// Tasks of this kind are ready, but this engine has no handler for them. Emitted once per kind.
    UnhandledKind(Kind),
    /// The store met a corrupt row, which another program changed. The engine processes all other rows. Contains the
    /// error of the store; emitted once per text.
    CorruptRow(String),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnhandledKind(kind) => {
                write!(f, "tasks of kind {kind:?} are ready, but this engine has no handler for them; ")?;
                f.write_str("register a handler, or ignore this if another engine handles them")
            }
            Self::CorruptRow(error) => write!(f, "{error}; the engine continues without this row"),
        }
    }
}

pub(super) type Listener = Box<dyn Fn(&Warning) + Send + Sync>;

/// Emits each warning once.
pub(super) struct Warnings {
    handled_kinds: HashSet<Kind>,
    emitted: HashSet<Warning>,
    listener: Listener,
}

impl Warnings {
    pub(super) fn new(handled_kinds: impl IntoIterator<Item = Kind>, listener: Listener) -> Self {
        Self { handled_kinds: handled_kinds.into_iter().collect(), emitted: HashSet::new(), listener }
    }

    /// Emits a warning for each ready kind without a handler.
    pub(super) fn check_unhandled_kinds(&mut self, store: &dyn EngineStore) -> Result<(), StoreError> {
        for kind in store.ready_kinds(MAX_PAGE)? {
            if !self.handled_kinds.contains(&kind) {
                self.emit(&Warning::UnhandledKind(kind));
            }
        }
        Ok(())
    }

    /// Emits a warning, unless it was emitted before.
    pub(super) fn emit(&mut self, warning: &Warning) {
        if self.emitted.len() < MAX_WARNINGS && self.emitted.insert(warning.clone()) {
            trace::warning(warning);
            (self.listener)(warning);
        }
    }
}
