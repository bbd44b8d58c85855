//! What an engine has to say to whoever runs it.

use crate::engine::trace;
use crate::store::EngineStore;
use conductor_model::Kind;
use conductor_store::{MAX_PAGE, StoreError};
use std::collections::HashSet;
use std::fmt;

/// How many kinds without a handler are looked for at once.
const KINDS_AT_ONCE: u32 = MAX_PAGE;

/// How many warnings are remembered and told apart; after as many of them nothing more is said.
const MOST: usize = 10_000;

/// Something that an engine noticed and that nobody waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Warning {
    /// Tasks of this kind are ready, and this engine has no handler for them. Said once per kind.
    UnhandledKind(Kind),
    /// The store met a row that it cannot read, because another program changed it: the engine goes on with all the
    /// others. It holds what the store said, and is said once for each such text.
    CorruptRow(String),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnhandledKind(kind) => {
                write!(f, "tasks of kind {kind} are ready, and this engine has no handler for them")
            }
            Self::CorruptRow(what) => write!(f, "{what}; the engine goes on without it"),
        }
    }
}

pub(crate) type Listener = Box<dyn Fn(&Warning) + Send + Sync>;

/// Says each warning once.
pub(crate) struct Warnings {
    handled: HashSet<Kind>,
    said: HashSet<Warning>,
    listener: Listener,
}

impl Warnings {
    pub(crate) fn new(handled: impl IntoIterator<Item = Kind>, listener: Listener) -> Self {
        Self { handled: handled.into_iter().collect(), said: HashSet::new(), listener }
    }

    pub(crate) fn look_for_unhandled_kinds(&mut self, store: &dyn EngineStore) -> Result<(), StoreError> {
        for kind in store.ready_kinds(KINDS_AT_ONCE)? {
            if !self.handled.contains(&kind) {
                self.say(&Warning::UnhandledKind(kind));
            }
        }
        Ok(())
    }

    /// Says it, unless it was said before.
    pub(crate) fn say(&mut self, warning: &Warning) {
        if self.said.len() < MOST && self.said.insert(warning.clone()) {
            trace::warning(warning);
            (self.listener)(warning);
        }
    }
}
