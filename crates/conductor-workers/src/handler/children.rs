//! What a join works on: what became of the children.

use crate::handler::context::Context;
use crate::handler::task_error::TaskError;
use crate::outputs::{self, OutputError, Pages};
use crate::store::EngineStore;
use conductor_model::ChildCounts;
use conductor_store::{ChildFailure, MAX_PAGE, NodeId};
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
    of: NodeId,
    numbers: ChildCounts,
    output: PhantomData<fn() -> T>,
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
            Some(parent) => (NodeId::Task(parent), store.task(parent)?.and_then(|task| task.child_counts)),
            None => (NodeId::Run(context.run()), store.run(context.run())?.map(|run| run.child_counts)),
        };
        let numbers = numbers.ok_or_else(|| TaskError::fatal(format!("there is no {of} any more")))?;
        Ok(Self { store, of, numbers, output: PhantomData })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.numbers.created as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.numbers.created == 0
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
        self.outputs_with_index().map(|item| item.map(|(_, output)| output))
    }

    /// The same, each with the index of its child.
    ///
    /// # Errors
    /// As for [`Children::outputs`].
    pub fn outputs_with_index(&self) -> impl Iterator<Item = Result<(u32, T), TaskError>> + use<'_, T> {
        let outputs = outputs::of_children(&*self.store, self.of, self.numbers.succeeded());
        outputs.map(|child| child.map_err(task_error))
    }

    /// Those that did not succeed, in the order of their indices.
    ///
    /// # Errors
    /// Each item may be a [`TaskError`], when the store cannot be read.
    pub fn failures(&self) -> impl Iterator<Item = Result<ChildFailure, TaskError>> + use<'_, T> {
        let page = |after| self.store.child_failures(self.of, after, MAX_PAGE);
        Pages::of(self.numbers.failed + self.numbers.cancelled, page)
            .map(|child| child.map_err(TaskError::from))
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

/// A store that cannot be read is worth a retry; an output of another type stays as it is.
fn task_error(error: OutputError) -> TaskError {
    match error {
        OutputError::Store(error) => error.into(),
        error => TaskError::fatal(error),
    }
}
