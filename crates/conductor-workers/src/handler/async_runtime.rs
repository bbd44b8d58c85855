//! Runs asynchronous handlers on Tokio.

use crate::handler::call::panic_result;
use crate::handler::cancel_token::CancelToken;
use conductor_store::AttemptResult;
use std::sync::OnceLock;
use tokio::runtime::Handle;

/// The Tokio runtime of an engine: one that the caller passed, or one that is created when the first future starts.
#[derive(Debug, Default)]
pub(crate) struct AsyncRuntime {
    handle: OnceLock<Handle>,
    own: OnceLock<tokio::runtime::Runtime>,
}

impl AsyncRuntime {
    pub(crate) fn new(handle: Option<Handle>) -> Self {
        let handle = handle.map(OnceLock::from).unwrap_or_default();
        Self { handle, own: OnceLock::new() }
    }

    /// Runs a future, and drops it when `token` is cancelled. Calls `on_done` once: with the result, or with `None` if
    /// the future was dropped.
    pub(crate) fn run(
        &self,
        future: impl Future<Output = AttemptResult> + Send + 'static,
        token: &CancelToken,
        on_done: impl FnOnce(Option<AttemptResult>) + Send + 'static,
    ) {
        let handle = self.handle.get_or_init(|| {
            let runtime = self.own.get_or_init(|| {
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
                runtime.expect("the system can start the threads of a Tokio runtime")
            });
            runtime.handle().clone()
        });
        let work = handle.spawn(future);
        let abort = work.abort_handle();
        token.on_cancel(move || abort.abort());
        let done = Done { on_done: Some(on_done), result: None };
        handle.spawn(async move {
            let result = match work.await {
                Ok(result) => Some(result),
                Err(error) => error.try_into_panic().ok().map(panic_result),
            };
            done.with(result);
        });
    }
}

/// Calls `on_done` when it is dropped: a runtime that shuts down drops its futures before they finish.
struct Done<F: FnOnce(Option<AttemptResult>)> {
    on_done: Option<F>,
    result: Option<AttemptResult>,
}

impl<F: FnOnce(Option<AttemptResult>)> Done<F> {
    fn with(mut self, result: Option<AttemptResult>) {
        self.result = result;
    }
}

impl<F: FnOnce(Option<AttemptResult>)> Drop for Done<F> {
    fn drop(&mut self) {
        if let Some(on_done) = self.on_done.take() {
            on_done(self.result.take());
        }
    }
}

impl Drop for AsyncRuntime {
    fn drop(&mut self) {
        if let Some(own) = self.own.take() {
            // Without waiting: an engine may be dropped inside another runtime.
            own.shutdown_background();
        }
    }
}
