//! Asynchronous handlers, on Tokio.

use crate::engine::pool::Pool;
use crate::handler::attempt::Attempt;
use crate::handler::panicked;
use conductor_store::AttemptResult;
use std::sync::{Arc, OnceLock};
use tokio::runtime::Handle;

/// Where futures run: a runtime of the caller's, or one that is made at first need.
#[derive(Debug, Default)]
pub(crate) struct Runtime {
    handle: OnceLock<Handle>,
    own: OnceLock<tokio::runtime::Runtime>,
}

impl Runtime {
    pub(crate) fn of(handle: Option<Handle>) -> Self {
        let runtime = Self::default();
        if let Some(handle) = handle {
            // A new cell is empty.
            let _ = runtime.handle.set(handle);
        }
        runtime
    }

    /// Runs a future to its end; it is dropped when its attempt is given up.
    pub(crate) fn run(
        &self,
        pool: &Arc<Pool>,
        attempt: Arc<Attempt>,
        future: impl Future<Output = AttemptResult> + Send + 'static,
    ) {
        let handle = self.handle.get_or_init(|| {
            let runtime = self.own.get_or_init(|| {
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
                runtime.expect("the system gives threads to a runtime")
            });
            runtime.handle().clone()
        });
        let work = handle.spawn(future);
        let drop_it = work.abort_handle();
        attempt.signal.on_given(move || drop_it.abort());
        let back = Back { pool: Arc::clone(pool), attempt, ending: None };
        handle.spawn(async move {
            let ending = match work.await {
                Ok(ending) => Some(ending),
                Err(error) => error.try_into_panic().ok().map(panicked),
            };
            back.with(ending);
        });
    }
}

/// Says that an attempt came back, in whatever way: a runtime that is shut down drops what it runs.
struct Back {
    pool: Arc<Pool>,
    attempt: Arc<Attempt>,
    /// `None` when it was dropped. If that was not because the attempt was given up, the runtime is gone.
    ending: Option<AttemptResult>,
}

impl Back {
    fn with(mut self, ending: Option<AttemptResult>) {
        self.ending = ending;
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        self.pool.came_back(Arc::clone(&self.attempt), self.ending.take());
        self.pool.wake();
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(own) = self.own.take() {
            // Without waiting: an engine may be dropped inside another runtime.
            own.shutdown_background();
        }
    }
}
