//! Finds the runs of requests.

use crate::backend::{ReadTx, RunKey};
use crate::{NodeId, Scope, StoreError};
use conductor_model::RunId;

/// Finds a run.
pub(crate) fn find_run(tx: &mut dyn ReadTx, id: RunId) -> Result<Option<RunKey>, StoreError> {
    Ok(tx.locate(NodeId::Run(id))?.map(|place| place.key.run))
}

/// Finds a run that must exist.
pub(crate) fn require_run(tx: &mut dyn ReadTx, id: RunId) -> Result<RunKey, StoreError> {
    find_run(tx, id)?.ok_or(StoreError::RunNotFound(id))
}

/// The run of a scope; `None` for all runs.
pub(crate) fn run_of_scope(tx: &mut dyn ReadTx, scope: Scope) -> Result<Option<RunKey>, StoreError> {
    match scope {
        Scope::All => Ok(None),
        Scope::Run(id) => require_run(tx, id).map(Some),
    }
}
