//! A store that something happens to: calls are counted, held up, or fail.

use conductor_store::{Admin, Monitor, Query, SqliteStore, Store, StoreError, forward_store_methods};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// What happens to a call.
pub(crate) enum Meddling {
    /// Nothing.
    Pass,
    /// It fails, and nothing is done.
    Fail(StoreError),
    /// It is done, and fails all the same.
    FailAfter(StoreError),
}

type Meddle = Box<dyn Fn(&'static str) -> Meddling + Send + Sync>;

/// A store around another one, which asks before each call, by the name of the method.
pub(crate) struct Meddler {
    inner: Arc<SqliteStore>,
    meddle: Meddle,
    calls: Mutex<HashMap<&'static str, u64>>,
}

pub(crate) fn busy() -> StoreError {
    StoreError::Busy("somebody else writes".into())
}

pub(crate) fn commit_unknown() -> StoreError {
    StoreError::CommitOutcomeUnknown("the disk said nothing".into())
}

pub(crate) fn unreadable() -> StoreError {
    StoreError::CorruptRow { row: "task 7".into(), reason: "somebody wrote into it".into() }
}

impl Meddler {
    pub(crate) fn new(
        inner: &Arc<SqliteStore>,
        meddle: impl Fn(&'static str) -> Meddling + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (inner, meddle) = (Arc::clone(inner), Box::new(meddle));
        Arc::new(Self { inner, meddle, calls: Mutex::default() })
    }

    /// How often a method was called.
    pub(crate) fn calls(&self, method: &str) -> u64 {
        self.calls.lock().unwrap().get(method).copied().unwrap_or(0)
    }

    /// How often any method was called.
    pub(crate) fn all_calls(&self) -> u64 {
        self.calls.lock().unwrap().values().sum()
    }

    fn through<T, E: From<StoreError>>(
        &self,
        method: &'static str,
        call: impl FnOnce(&SqliteStore) -> Result<T, E>,
    ) -> Result<T, E> {
        *self.calls.lock().unwrap().entry(method).or_default() += 1;
        match (self.meddle)(method) {
            Meddling::Pass => call(&self.inner),
            Meddling::Fail(fault) => Err(fault.into()),
            Meddling::FailAfter(fault) => call(&self.inner).and(Err(fault.into())),
        }
    }
}

impl Store for Meddler {
    forward_store_methods!(Store through Self::through);
}

impl Admin for Meddler {
    forward_store_methods!(Admin through Self::through);
}

impl Monitor for Meddler {
    forward_store_methods!(Monitor through Self::through);
}

impl Query for Meddler {
    forward_store_methods!(Query through Self::through);
}
