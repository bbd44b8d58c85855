//! Asks a handler to stop.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A token that is cancelled once. Cancelling wakes waiting threads and runs the registered callback.
#[derive(Default)]
pub(crate) struct CancelToken {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    cancelled: bool,
    on_cancel: Option<Box<dyn FnOnce() + Send>>,
}

impl CancelToken {
    pub(crate) fn cancel(&self) {
        let on_cancel = {
            let mut state = self.lock();
            state.cancelled = true;
            state.on_cancel.take()
        };
        self.changed.notify_all();
        if let Some(on_cancel) = on_cancel {
            on_cancel();
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.lock().cancelled
    }

    /// Calls `callback` when the token is cancelled, or now if it is cancelled already. Replaces an earlier callback.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "only futures need it"))]
    pub(crate) fn on_cancel(&self, callback: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.cancelled {
            drop(state);
            callback();
        } else {
            state.on_cancel = Some(Box::new(callback));
        }
    }

    /// Waits until the token is cancelled, or until the timeout. Returns whether it was cancelled.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let started = Instant::now();
        let mut state = self.lock();
        while !state.cancelled {
            let Some(rest) = timeout.checked_sub(started.elapsed()).filter(|rest| !rest.is_zero()) else {
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
        f.debug_struct("CancelToken").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}
