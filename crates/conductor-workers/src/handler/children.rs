//! The children that a join works on.

use crate::engine_store::EngineStore;
use crate::handler::context::Context;
use crate::handler::task_error::TaskError;
use crate::outputs::{self, OutputError, Pages};
use conductor_model::ChildCounts;
use conductor_store::{ChildFailure, MAX_PAGE, NodeId};
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::sync::Arc;

/// The settled children of the parent whose join runs, or the root tasks of the run whose join runs.
///
/// The handler of a join takes it instead of an input. It reads outputs from the store in pages, in the order of the
/// indices, so memory does not grow with the number of children.
///
/// ```
/// use conductor_model::{Policy, RunDraft, State, TaskDraft};
/// use conductor_store::SqliteStore;
/// use conductor_workers::{Children, Context, Engine, TaskError};
///
/// fn length(word: String, _: Context) -> Result<usize, TaskError> {
///     if word.is_empty() { Err(TaskError::fatal("the word is empty")) } else { Ok(word.len()) }
/// }
///
/// fn total(words: Children<usize>, _: Context) -> Result<String, TaskError> {
///     let letters: usize = words.outputs().sum::<Result<usize, TaskError>>()?;
///     let missing = words.failures().collect::<Result<Vec<_>, _>>()?;
///     let error = missing[0].error.as_ref().map_or("cancelled", |error| error.as_str());
///     Ok(format!("{letters} letters; word {} is missing: {error}", missing[0].index))
/// }
///
/// let engine = Engine::builder(SqliteStore::open_in_memory()?).handler("length", length).handler("total", total).build()?;
/// let words = TaskDraft::new("length").fan_out(["to", "", "be"]).policy(Policy::Tolerate(1)).join("total");
/// let run = engine.submit(RunDraft::new().task(words))?;
/// assert_eq!(engine.run_until_settled(run)?.state, State::Succeeded);
/// let parent = engine.store().tasks(run, Default::default(), None, 1)?.items.remove(0);
/// assert_eq!(parent.output.unwrap().to::<String>()?, "4 letters; word 2 is missing: the word is empty");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Children<T> {
    store: Arc<dyn EngineStore>,
    parent: NodeId,
    counts: ChildCounts,
    output: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Children<T> {
    /// Returns the children of the join that this attempt runs.
    pub(crate) fn of(context: &Context) -> Result<Self, TaskError> {
        if context.index() != 0 {
            let kind = context.kind();
            return Err(TaskError::fatal(format!(
                "the handler of kind {kind} takes the children of a join, but this task is not a join"
            )));
        }
        let store = Arc::clone(&context.shared.store);
        let (parent, counts) = match context.parent() {
            Some(parent) => (NodeId::Task(parent), store.task(parent)?.and_then(|task| task.child_counts)),
            None => (NodeId::Run(context.run()), store.run(context.run())?.map(|run| run.child_counts)),
        };
        let counts = counts.ok_or_else(|| TaskError::fatal(format!("{parent} does not exist any more")))?;
        Ok(Self { store, parent, counts, output: PhantomData })
    }

    /// Returns the number of children.
    pub fn len(&self) -> usize {
        self.counts.created as usize
    }

    /// Returns whether there are no children.
    pub fn is_empty(&self) -> bool {
        self.counts.created == 0
    }

    /// Returns how many children FAILED. The parent's policy tolerates that many: otherwise the join would not run.
    pub fn failed(&self) -> usize {
        self.counts.failed as usize
    }

    /// Returns the outputs of the children that SUCCEEDED, in the order of the indices. A missing output is read from
    /// `null`.
    ///
    /// # Errors
    /// Each item may be an error. Returns a retryable [`TaskError`] if the store fails, a fatal one if an output is not a
    /// `T`.
    pub fn outputs(&self) -> impl Iterator<Item = Result<T, TaskError>> + use<'_, T> {
        self.outputs_with_index().map(|item| item.map(|(_, output)| output))
    }

    /// Returns the outputs of the children that SUCCEEDED, each with the index of its child.
    ///
    /// # Errors
    /// As for [`Children::outputs`].
    pub fn outputs_with_index(&self) -> impl Iterator<Item = Result<(u32, T), TaskError>> + use<'_, T> {
        let outputs = outputs::of_children(&*self.store, self.parent, self.counts.succeeded());
        outputs.map(|child| child.map_err(task_error))
    }

    /// Returns the children that FAILED or were CANCELLED, in the order of the indices.
    ///
    /// # Errors
    /// Each item may be a [`TaskError`] if the store cannot be read.
    pub fn failures(&self) -> impl Iterator<Item = Result<ChildFailure, TaskError>> + use<'_, T> {
        let page = |cursor| self.store.child_failures(self.parent, cursor, MAX_PAGE);
        Pages::of(self.counts.failed + self.counts.cancelled, page)
            .map(|child| child.map_err(TaskError::from))
    }
}

impl<T> std::fmt::Debug for Children<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Children")
            .field("parent", &self.parent)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// Converts the error: reading the store again may help, but the type of an output does not change.
fn task_error(error: OutputError) -> TaskError {
    match error {
        OutputError::Store(error) => error.into(),
        error => TaskError::fatal(error),
    }
}
