//! Calls a handler: reads its input, and turns its return value or panic into a result.

use crate::handler::context::Context;
use crate::handler::task_error::TaskError;
use conductor_model::{AttemptFailure, Json};
use conductor_store::AttemptResult;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(feature = "tokio")]
use std::pin::Pin;
#[cfg(feature = "tokio")]
use std::sync::Arc;

/// A synchronous handler without its types.
pub(crate) type SyncCall = Box<dyn Fn(Context) -> AttemptResult + Send + Sync>;
/// An asynchronous handler without its types.
#[cfg(feature = "tokio")]
pub(crate) type AsyncCall =
    Arc<dyn Fn(Context) -> Pin<Box<dyn Future<Output = AttemptResult> + Send>> + Send + Sync>;

/// A handler without its types.
pub(crate) enum Call {
    Sync(SyncCall),
    #[cfg(feature = "tokio")]
    Async(AsyncCall),
}

/// Calls a synchronous handler, and catches its panic.
pub(crate) fn catch<O: Serialize>(handler: impl FnOnce() -> Result<O, TaskError>) -> AttemptResult {
    catch_unwind(AssertUnwindSafe(|| attempt_result(handler()))).unwrap_or_else(panic_result)
}

/// Reads the input of a task as the handler's type.
pub(crate) fn read_input<I: DeserializeOwned>(context: &Context) -> Result<I, TaskError> {
    let input = context.input().map_or("null", Json::as_str);
    let read = match serde_json::from_str(input) {
        // Children of a counted fan-out inherit the parent's input without `fanout`, often `{}`: read it as `null` too.
        Err(error) if input == "{}" => serde_json::from_str("null").map_err(|_| error),
        read => read,
    };
    read.map_err(|error| TaskError::fatal(format!("the input does not fit the handler: {error}")))
}

/// Turns the return value of a handler into the result of the attempt. The output `null`, such as that of `()`, is
/// stored as no output.
pub(crate) fn attempt_result<O: Serialize>(returned: Result<O, TaskError>) -> AttemptResult {
    let output = match returned.map(|output| Json::of(&output)) {
        Ok(Ok(output)) => output,
        Ok(Err(issue)) => {
            let error = format!("the output cannot be stored: {issue}");
            return AttemptResult::Failed(AttemptFailure::fatal(error));
        }
        Err(error) => return AttemptResult::Failed(error.into_failure()),
    };
    AttemptResult::Succeeded { output: (output.as_str() != "null").then_some(output) }
}

/// Turns a panic into a failure that is retried, with the message of the panic.
pub(crate) fn panic_result(panic: Box<dyn Any + Send>) -> AttemptResult {
    let message =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let error = format!("panicked: {}", message.unwrap_or("without a message"));
    // Dropping the payload may panic again, and so may dropping that second payload.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
    AttemptResult::Failed(AttemptFailure::error(error))
}
