//! Reads the outputs of tasks as values of the caller's type.

use crate::engine_store::EngineStore;
use conductor_model::TaskId;
use conductor_store::{ChildOutput, MAX_PAGE, NodeId, Page, StoreError};
use serde::de::DeserializeOwned;

/// An output could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No run or task has this id.
    #[error("{0} does not exist; check the id, or whether the run was pruned")]
    NotFound(NodeId),
    /// The output of a task is JSON, but not a value of the requested type.
    #[error(
        "the output of task {task} does not have the requested type: {error}; read it as the type that the handler returned"
    )]
    WrongType {
        /// The task.
        task: TaskId,
        /// What does not fit.
        error: serde_json::Error,
    },
    /// The output of a child is JSON, but not a value of the requested type.
    #[error(
        "the output of child {index} does not have the requested type: {error}; read it as the type that the handler returned"
    )]
    WrongChildType {
        /// The index of the child among its siblings, from 1.
        index: u32,
        /// What does not fit.
        error: serde_json::Error,
    },
}

/// Reads the output of one task; `None` while it has none.
pub(crate) fn of_task<T: DeserializeOwned>(
    store: &dyn EngineStore,
    task: TaskId,
) -> Result<Option<T>, OutputError> {
    let found = store.task(task)?.ok_or(OutputError::NotFound(task.into()))?;
    let read = found.output.map(|output| serde_json::from_str(output.as_str())).transpose();
    read.map_err(|error| OutputError::WrongType { task, error })
}

/// Reads the outputs of the children of `parent` that SUCCEEDED, with their indices, in the order of the indices. A child
/// without an output is read from `null`. Reads nothing if `count`, the number of such children, is 0.
pub(crate) fn of_children<T: DeserializeOwned>(
    store: &dyn EngineStore,
    parent: NodeId,
    count: u32,
) -> impl Iterator<Item = Result<(u32, T), OutputError>> + use<'_, T> {
    let page = move |cursor| store.child_outputs(parent, cursor, MAX_PAGE);
    Pages::of(count, page).map(|child| {
        let ChildOutput { index, output } = child?;
        let read = serde_json::from_str(output.as_deref().unwrap_or("null"));
        Ok((index, read.map_err(|error| OutputError::WrongChildType { index, error })?))
    })
}

/// An iterator over a list that a store returns in pages.
pub(crate) struct Pages<C, P> {
    page: P,
    items: std::vec::IntoIter<C>,
    /// The index after which the next page begins; `None` after the last page and after an error.
    next: Option<u32>,
}

impl<C, P: Fn(u32) -> Result<Page<C, u32>, StoreError>> Pages<C, P> {
    /// Reads nothing if `count` is 0.
    pub(crate) fn of(count: u32, page: P) -> Self {
        Self { page, items: Vec::new().into_iter(), next: (count > 0).then_some(0) }
    }
}

impl<C, P: Fn(u32) -> Result<Page<C, u32>, StoreError>> Iterator for Pages<C, P> {
    type Item = Result<C, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.items.next() {
                return Some(Ok(item));
            }
            match (self.page)(self.next.take()?) {
                Ok(page) => (self.items, self.next) = (page.items.into_iter(), page.next),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
