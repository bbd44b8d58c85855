//! A store that injects faults: it counts calls, delays them, or lets them fail.

use conductor_store::{Admin, Monitor, Query, SqliteStore, Store, StoreError, forward_store_methods};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// What happens to a call.
pub(crate) enum Injection {
    /// The call is passed on.
    Pass,
    /// The call fails without any effect.
    Fail(StoreError),
    /// The call takes effect, and returns an error.
    FailAfter(StoreError),
}

type Inject = Box<dyn Fn(&'static str) -> Injection + Send + Sync>;

/// A store around another one. Before each call it asks a function, by the name of the method.
pub(crate) struct FaultyStore {
    inner: Arc<SqliteStore>,
    inject: Inject,
    calls: Mutex<HashMap<&'static str, u64>>,
}

pub(crate) fn busy() -> StoreError {
    StoreError::Busy("another process writes".into())
}

pub(crate) fn commit_unknown() -> StoreError {
    StoreError::CommitOutcomeUnknown("the disk did not answer".into())
}

pub(crate) fn corrupt_row() -> StoreError {
    StoreError::CorruptRow { row: "task 7".into(), reason: "an injected fault".into() }
}

impl FaultyStore {
    pub(crate) fn new(
        inner: &Arc<SqliteStore>,
        inject: impl Fn(&'static str) -> Injection + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (inner, inject) = (Arc::clone(inner), Box::new(inject));
        Arc::new(Self { inner, inject, calls: Mutex::default() })
    }

    /// Wraps a store that only counts calls.
    pub(crate) fn counting(inner: &Arc<SqliteStore>) -> Arc<Self> {
        Self::new(inner, |_| Injection::Pass)
    }

    /// Returns the number of calls of one method.
    pub(crate) fn calls(&self, method: &str) -> u64 {
        self.calls.lock().unwrap().get(method).copied().unwrap_or(0)
    }

    /// Returns the number of calls of all methods.
    pub(crate) fn all_calls(&self) -> u64 {
        self.calls.lock().unwrap().values().sum()
    }

    fn through<T, E: From<StoreError>>(
        &self,
        method: &'static str,
        call: impl FnOnce(&SqliteStore) -> Result<T, E>,
    ) -> Result<T, E> {
        *self.calls.lock().unwrap().entry(method).or_default() += 1;
        match (self.inject)(method) {
            Injection::Pass => call(&self.inner),
            Injection::Fail(error) => Err(error.into()),
            Injection::FailAfter(error) => call(&self.inner).and(Err(error.into())),
        }
    }
}

impl Store for FaultyStore {
    forward_store_methods!(Store through Self::through);
}

impl Admin for FaultyStore {
    forward_store_methods!(Admin through Self::through);
}

impl Monitor for FaultyStore {
    forward_store_methods!(Monitor through Self::through);
}

impl Query for FaultyStore {
    forward_store_methods!(Query through Self::through);
}
