//! Tells a handler to give up.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Given once; whoever waits for it wakes up, and what was registered is called.
#[derive(Default)]
pub(crate) struct CancelToken {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    given: bool,
    then: Option<Box<dyn FnOnce() + Send>>,
}

impl CancelToken {
    pub(crate) fn give(&self) {
        let then = {
            let mut state = self.lock();
            state.given = true;
            state.then.take()
        };
        self.changed.notify_all();
        if let Some(then) = then {
            then();
        }
    }

    pub(crate) fn is_given(&self) -> bool {
        self.lock().given
    }

    /// Calls `then` when the signal is given, or now if it was.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "only asynchronous handlers are dropped"))]
    pub(crate) fn on_given(&self, then: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.given {
            drop(state);
            then();
        } else {
            state.then = Some(Box::new(then));
        }
    }

    /// Waits so long, or until the signal is given; whether it was.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        let started = Instant::now();
        let mut state = self.lock();
        while !state.given {
            let Some(rest) = patience.checked_sub(started.elapsed()).filter(|rest| !rest.is_zero()) else {
                return false;
            };
            state = self.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelToken").field("given", &self.is_given()).finish_non_exhaustive()
    }
}
