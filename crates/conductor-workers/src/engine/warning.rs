//! What an engine has to say to whoever runs it.

use crate::store::EngineStore;
use crate::trace;
use conductor_model::Kind;
use conductor_store::{Fault, MAX_PAGE};
use std::collections::HashSet;
use std::fmt;

/// How many kinds without a handler are looked for at once.
const KINDS_AT_ONCE: u32 = MAX_PAGE;

/// Something that an engine noticed and that nobody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// Tasks of this kind are ready, and this engine has no handler for them. Said once per kind.
    NoHandler(Kind),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHandler(kind) => {
                write!(f, "tasks of kind {kind} are ready, and this engine has no handler for them")
            }
        }
    }
}

pub(crate) type Listener = Box<dyn Fn(&Warning) + Send + Sync>;

/// Says each warning once.
pub(crate) struct Warnings {
    handled: HashSet<Kind>,
    said: HashSet<Kind>,
    listener: Listener,
}

impl Warnings {
    pub(crate) fn new(handled: impl IntoIterator<Item = Kind>, listener: Listener) -> Self {
        Self { handled: handled.into_iter().collect(), said: HashSet::new(), listener }
    }

    pub(crate) fn look_for_unhandled_kinds(&mut self, store: &dyn EngineStore) -> Result<(), Fault> {
        for kind in store.ready_kinds(KINDS_AT_ONCE)? {
            if !self.handled.contains(&kind) && self.said.insert(kind.clone()) {
                let warning = Warning::NoHandler(kind);
                trace::warning(&warning);
                (self.listener)(&warning);
            }
        }
        Ok(())
    }
}
