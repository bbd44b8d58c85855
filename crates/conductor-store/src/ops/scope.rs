//! Finds the runs and tasks of requests.

use crate::backend::{NodePlace, ReadTx, RunKey};
use crate::{NodeId, Scope, StoreError};
use conductor_model::{RunId, TaskId};

/// Finds a run.
pub(crate) fn find_run(tx: &mut dyn ReadTx, id: RunId) -> Result<Option<RunKey>, StoreError> {
    Ok(tx.locate(NodeId::Run(id))?.map(|place| place.key.run))
}

/// Finds a run that must exist.
pub(crate) fn require_run(tx: &mut dyn ReadTx, id: RunId) -> Result<RunKey, StoreError> {
    find_run(tx, id)?.ok_or(StoreError::RunNotFound(id))
}

/// Finds a task that must exist in this run.
pub(crate) fn require_task(tx: &mut dyn ReadTx, run: RunKey, id: TaskId) -> Result<NodePlace, StoreError> {
    let place = tx.locate(NodeId::Task(id))?.filter(|place| place.key.run == run);
    place.ok_or(StoreError::TaskNotFound(id))
}

/// The run of a scope; `None` for all runs.
pub(crate) fn run_of_scope(tx: &mut dyn ReadTx, scope: Scope) -> Result<Option<RunKey>, StoreError> {
    match scope {
        Scope::All => Ok(None),
        Scope::Run(id) => require_run(tx, id).map(Some),
    }
}
