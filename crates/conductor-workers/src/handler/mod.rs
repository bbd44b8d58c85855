//! Handlers: functions of the user, and the values that they work with.

#[cfg(feature = "tokio")]
pub(crate) mod async_runtime;
pub(crate) mod attempt;
pub(crate) mod batch;
pub(crate) mod call;
pub(crate) mod cancel_token;
mod children;
pub(crate) mod clock;
pub(crate) mod context;
pub(crate) mod running;
mod task_error;

pub use children::Children;
pub use context::Context;
pub use task_error::TaskError;

use call::{Call, catch, read_input};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A function that does the work of one kind: it takes an input and a [`Context`], and returns an output.
///
/// It is implemented for `Fn(I, Context) -> Result<O, TaskError>`. `I` is read from the task's input, and `O` is stored
/// as its output. The handler of a join takes the [`Children`] instead of an input. With the feature `tokio` it is also
/// implemented for `Fn(I, Context) -> impl Future<Output = Result<O, TaskError>>`. `M` distinguishes these forms, and is
/// always inferred.
///
/// A task without an input is read from `null`: use `()` or an `Option`. The same holds for the input `{}` if `I` is not
/// an object. Children of a counted fan-out often have that input.
#[diagnostic::on_unimplemented(
    message = "this is not a handler",
    label = "not a `Fn(I, Context) -> Result<O, TaskError>`",
    note = "a handler takes an input and a `Context` and returns `Result<O, TaskError>`; the input implements \
            `DeserializeOwned` (it borrows nothing), the output `Serialize`; the error is `TaskError`, not `Box<dyn Error>`",
    note = "asynchronous handlers need the feature `tokio` of origin-conductor, and their futures must be `Send`"
)]
pub trait Handler<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn erased(self) -> ErasedHandler;
}

/// A handler without its types.
#[doc(hidden)]
pub struct ErasedHandler(pub(crate) Call);

/// Marks a synchronous handler.
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
        ErasedHandler(Call::Sync(Box::new(move |context| {
            catch(|| read_input(&context).and_then(|input| self(input, context)))
        })))
    }
}

/// Marks the handler of a join.
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
        ErasedHandler(Call::Sync(Box::new(move |context| {
            catch(|| Children::of(&context).and_then(|children| self(children, context)))
        })))
    }
}

/// Marks handlers that keep their thread until they return.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "this handler is asynchronous",
    label = "not a synchronous handler",
    note = "`Simulation::handler` takes synchronous handlers only"
)]
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
        use call::attempt_result;
        ErasedHandler(Call::Async(std::sync::Arc::new(move |context| match read_input(&context) {
            Ok(input) => {
                let work = self(input, context);
                Box::pin(async move { attempt_result(work.await) })
            }
            Err(error) => Box::pin(async move { attempt_result::<()>(Err(error)) }),
        })))
    }
}
