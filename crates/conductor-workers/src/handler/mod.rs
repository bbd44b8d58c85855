//! Handlers: functions of the user's, and how they are called.

#[cfg(feature = "tokio")]
pub(crate) mod async_runtime;
pub(crate) mod attempt;
pub(crate) mod cancel_token;
mod children;
pub(crate) mod clock;
pub(crate) mod context;
mod task_error;

pub use children::Children;
pub use context::Context;
pub use task_error::TaskError;

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

/// Does the work of a kind: a function from an input and a [`Context`] to an output.
///
/// Implemented for `Fn(I, Context) -> Result<O, TaskError>`, where `I` is read from the task's input and `O` is written as
/// its output, and with the feature `tokio` for `Fn(I, Context) -> impl Future<Output = Result<O, TaskError>>`. `M` tells
/// the forms apart and is always inferred. A join's handler takes the [`Children`] in place of an input. A task without an input gives `null`, and so does `{}` if `I` is no
/// object, which is what the children of a mere number have: `()` or an `Option` reads it.
#[diagnostic::on_unimplemented(
    message = "this is no handler",
    label = "not a `Fn(I, Context) -> Result<O, TaskError>`",
    note = "a handler takes an input and a `Context` and returns `Result<O, TaskError>`; the input implements \
            `DeserializeOwned` (it borrows nothing), the output `Serialize`",
    note = "asynchronous handlers need the feature `tokio` of conductor-workers, and their futures must be `Send`"
)]
pub trait Handler<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn erased(self) -> ErasedHandler;
}

/// A handler whose types are forgotten.
#[doc(hidden)]
pub struct ErasedHandler(pub(crate) Call);

/// Calls a plain handler.
pub(crate) type Plain = Box<dyn Fn(Context) -> AttemptResult + Send + Sync>;
/// Calls an asynchronous handler.
#[cfg(feature = "tokio")]
pub(crate) type Asynchronous =
    Arc<dyn Fn(Context) -> Pin<Box<dyn Future<Output = AttemptResult> + Send>> + Send + Sync>;

pub(crate) enum Call {
    Plain(Plain),
    #[cfg(feature = "tokio")]
    Asynchronous(Asynchronous),
}

/// Marks a plain handler.
#[doc(hidden)]
#[derive(Debug)]
pub struct SyncMarker<I, O>(std::marker::PhantomData<(I, O)>);

impl<F, I, O> Handler<SyncMarker<I, O>> for F
where
    F: Fn(I, Context) -> Result<O, TaskError> + Send + Sync + 'static,
    I: DeserializeOwned,
    O: Serialize,
{
    fn erased(self) -> ErasedHandler {
        ErasedHandler(Call::Plain(Box::new(move |context| {
            let call =
                AssertUnwindSafe(|| ending(read_input(&context).and_then(|input| self(input, context))));
            catch_unwind(call).unwrap_or_else(panicked)
        })))
    }
}

/// Marks a handler of joins.
#[doc(hidden)]
#[derive(Debug)]
pub struct JoinMarker<T, O>(std::marker::PhantomData<(T, O)>);

impl<F, T, O> Handler<JoinMarker<T, O>> for F
where
    F: Fn(Children<T>, Context) -> Result<O, TaskError> + Send + Sync + 'static,
    T: DeserializeOwned,
    O: Serialize,
{
    fn erased(self) -> ErasedHandler {
        ErasedHandler(Call::Plain(Box::new(move |context| {
            let call = AssertUnwindSafe(|| {
                ending(Children::of(&context).and_then(|children| self(children, context)))
            });
            catch_unwind(call).unwrap_or_else(panicked)
        })))
    }
}

/// Marks handlers that keep their thread until they return.
#[doc(hidden)]
pub trait SyncHandler {}

impl<I, O> SyncHandler for SyncMarker<I, O> {}

impl<T, O> SyncHandler for JoinMarker<T, O> {}

/// Marks an asynchronous handler.
#[cfg(feature = "tokio")]
#[doc(hidden)]
#[derive(Debug)]
pub struct AsyncMarker<I, O>(std::marker::PhantomData<(I, O)>);

#[cfg(feature = "tokio")]
impl<F, T, I, O> Handler<AsyncMarker<I, (T, O)>> for F
where
    F: Fn(I, Context) -> T + Send + Sync + 'static,
    T: Future<Output = Result<O, TaskError>> + Send + 'static,
    I: DeserializeOwned,
    O: Serialize,
{
    fn erased(self) -> ErasedHandler {
        ErasedHandler(Call::Asynchronous(Arc::new(move |context| match read_input(&context) {
            Ok(input) => {
                let work = self(input, context);
                Box::pin(async move { ending(work.await) })
            }
            Err(error) => Box::pin(async move { ending::<()>(Err(error)) }),
        })))
    }
}

fn read_input<I: DeserializeOwned>(context: &Context) -> Result<I, TaskError> {
    let input = context.attempt.input.as_ref().map_or("null", Json::as_str);
    let read = match serde_json::from_str(input) {
        // The children of a mere number have their parent's input without that number: nothing.
        Err(error) if input == "{}" => serde_json::from_str("null").map_err(|_| error),
        read => read,
    };
    read.map_err(|error| TaskError::fatal(format!("the input does not fit the handler: {error}")))
}

/// How an attempt ended by what its handler returned. An output that is `null`, such as that of `()`, is none.
fn ending<O: Serialize>(result: Result<O, TaskError>) -> AttemptResult {
    let output = match result.map(|output| Json::of(&output)) {
        Ok(Ok(output)) => output,
        Ok(Err(issue)) => {
            return AttemptResult::Failed(AttemptFailure::fatal(format!(
                "the output cannot be kept: {issue}"
            )));
        }
        Err(error) => return AttemptResult::Failed(error.into_failure()),
    };
    AttemptResult::Succeeded { output: (output.as_str() != "null").then_some(output) }
}

/// A panic is a failure with its message; another attempt could help.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> AttemptResult {
    let said =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let error = format!("panicked: {}", said.unwrap_or("without a message"));
    // What it brought along may panic in its turn when it goes, and what that brings as well.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
    AttemptResult::Failed(AttemptFailure::error(error))
}
