//! Asynchronous handlers, on Tokio.

use crate::attempt::Attempt;
use crate::engine::pool::Pool;
use crate::handler::panicked;
use conductor_model::AttemptFailure;
use conductor_store::Ending;
use std::pin::Pin;
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
        future: Pin<Box<dyn Future<Output = Ending> + Send>>,
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
        let pool = Arc::clone(pool);
        handle.spawn(async move {
            let ending = work.await.unwrap_or_else(|error| match error.try_into_panic() {
                Ok(panic) => panicked(&*panic),
                // It was dropped: whatever is said of it is not recorded.
                Err(_) => Ending::Failed(AttemptFailure::TimedOut),
            });
            pool.came_back(attempt, ending);
            pool.wake();
        });
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
