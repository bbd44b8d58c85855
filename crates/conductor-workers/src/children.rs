//! What a join works on: what became of the children.

use crate::context::Context;
use crate::store::EngineStore;
use crate::task_error::TaskError;
use conductor_model::{ErrorText, Numbers, State, TaskId};
use conductor_store::{ChildFailure, ChildOutput, Fault, MAX_PAGE, Page, ParentId};
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::sync::Arc;

/// The children of the parent whose join runs, or the root tasks of its run: all of them are settled.
///
/// A handler for a join takes it in place of an input. The outputs are read from the store page by page, in the order of
/// the children's indices, so that memory does not grow with their number.
///
/// ```
/// use conductor_model::{Policy, RunDraft, State, TaskDraft};
/// use conductor_store::SqliteStore;
/// use conductor_workers::{Children, Context, Engine, TaskError};
///
/// fn length(word: String, _: Context) -> Result<usize, TaskError> {
///     if word.is_empty() { Err(TaskError::fatal("no word")) } else { Ok(word.len()) }
/// }
///
/// fn total(words: Children<usize>, _: Context) -> Result<String, TaskError> {
///     let letters: usize = words.outputs().sum::<Result<usize, TaskError>>()?;
///     let missing = words.failures().collect::<Result<Vec<_>, _>>()?;
///     Ok(format!("{letters} letters; word {} is missing: {}", missing[0].index, missing[0].error))
/// }
///
/// let engine = Engine::builder(SqliteStore::open_in_memory()?).handler("length", length).handler("total", total).build()?;
/// let words = TaskDraft::new("length").fan_out(["to", "", "be"]).policy(Policy::Tolerate(1)).join("total");
/// let run = engine.submit(RunDraft::new().task(words))?;
/// assert_eq!(engine.run_until_settled(run)?.state, State::Succeeded);
/// let parent = engine.store().tasks(run, Default::default(), None, 1)?.items.remove(0);
/// assert_eq!(parent.output.unwrap().to::<String>()?, "4 letters; word 2 is missing: no word");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Children<T> {
    store: Arc<dyn EngineStore>,
    of: ParentId,
    numbers: Numbers,
    output: PhantomData<fn() -> T>,
}

/// A child that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedChild {
    /// Its ordinal among its siblings, from 1.
    pub index: u32,
    /// The child.
    pub id: TaskId,
    /// FAILED or CANCELLED.
    pub state: State,
    /// Why; empty when nobody said so.
    pub error: String,
}

impl<T: DeserializeOwned> Children<T> {
    /// The children that the join of this attempt is about.
    pub(crate) fn of(context: &Context) -> Result<Self, TaskError> {
        if context.index() != 0 {
            let kind = context.kind();
            return Err(TaskError::fatal(format!(
                "the handler of {kind} is for joins, and this task is none"
            )));
        }
        let store = Arc::clone(&context.shared.store);
        let (of, numbers) = match context.parent() {
            Some(parent) => (ParentId::Task(parent), store.task(parent)?.and_then(|task| task.numbers)),
            None => (ParentId::Run(context.run()), store.run(context.run())?.map(|run| run.numbers)),
        };
        let numbers = numbers.ok_or_else(|| TaskError::fatal(format!("there is no {of} any more")))?;
        Ok(Self { store, of, numbers, output: PhantomData })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.numbers.children as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.numbers.children == 0
    }

    /// How many of them FAILED; more than the policy tolerates would have failed the parent without its join.
    pub fn failed(&self) -> usize {
        self.numbers.failed as usize
    }

    /// The outputs of those that SUCCEEDED, in the order of their indices; one that has none is read from `null`.
    ///
    /// # Errors
    /// Each item may be a [`TaskError`]: one that is retried when the store cannot be read, a fatal one when an output is not
    /// a `T`.
    pub fn outputs(&self) -> impl Iterator<Item = Result<T, TaskError>> + use<'_, T> {
        self.indexed().map(|item| item.map(|(_, output)| output))
    }

    /// The same, each with the index of its child.
    ///
    /// # Errors
    /// As for [`Children::outputs`].
    pub fn indexed(&self) -> impl Iterator<Item = Result<(u32, T), TaskError>> + use<'_, T> {
        let page = |after| self.store.outputs(self.of, after, MAX_PAGE);
        Pages::of(self.numbers.succeeded(), page).map(|child| {
            let ChildOutput { index, output } = child?;
            let read = serde_json::from_str(output.as_deref().unwrap_or("null"));
            let read =
                read.map_err(|error| TaskError::fatal(format!("the output of child {index}: {error}")));
            Ok((index, read?))
        })
    }

    /// Those that did not succeed, in the order of their indices.
    ///
    /// # Errors
    /// Each item may be a [`TaskError`], when the store cannot be read.
    pub fn failures(&self) -> impl Iterator<Item = Result<FailedChild, TaskError>> + use<'_, T> {
        let page = |after| self.store.failures(self.of, after, MAX_PAGE);
        Pages::of(self.numbers.failed + self.numbers.cancelled, page).map(|child| {
            let ChildFailure { index, id, state, error } = child?;
            let error = error.map_or(String::new(), |error: ErrorText| error.into());
            Ok(FailedChild { index, id, state, error })
        })
    }
}

impl<T> std::fmt::Debug for Children<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Children")
            .field("of", &self.of)
            .field("numbers", &self.numbers)
            .finish_non_exhaustive()
    }
}

/// What is read page by page.
struct Pages<C, P> {
    page: P,
    items: std::vec::IntoIter<C>,
    /// After which index the next page begins; `None` after the last, and after an error.
    next: Option<u32>,
}

impl<C, P: Fn(u32) -> Result<Page<C, u32>, Fault>> Pages<C, P> {
    /// Where there are none, nothing is read.
    fn of(count: u32, page: P) -> Self {
        Self { page, items: Vec::new().into_iter(), next: (count > 0).then_some(0) }
    }
}

impl<C, P: Fn(u32) -> Result<Page<C, u32>, Fault>> Iterator for Pages<C, P> {
    type Item = Result<C, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.items.next() {
                return Some(Ok(item));
            }
            match (self.page)(self.next.take()?) {
                Ok(page) => (self.items, self.next) = (page.items.into_iter(), page.next),
                Err(fault) => return Some(Err(fault.into())),
            }
        }
    }
}
