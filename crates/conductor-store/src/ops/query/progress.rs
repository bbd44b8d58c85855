//! The progress of running tasks.

use crate::backend::{ProgressWanted, ReadTx};
use crate::ops::page::{empty_page, page, page_limit};
use crate::ops::scope::{find_run, require_task};
use crate::{Page, StoreError};
use conductor_model::{RunId, TaskId, TaskProgress};

/// See [`Query::task_progress`](crate::Query::task_progress).
pub(crate) fn task_progress(tx: &mut dyn ReadTx, task: TaskId) -> Result<Option<TaskProgress>, StoreError> {
    Ok(tx.progress(ProgressWanted::Task(task), 1)?.items.pop())
}

/// See [`Query::run_progress`](crate::Query::run_progress).
pub(crate) fn run_progress(
    tx: &mut dyn ReadTx,
    run: RunId,
    after: Option<TaskId>,
    limit: u32,
) -> Result<Page<TaskProgress, TaskId>, StoreError> {
    let Some(run) = find_run(tx, run)? else { return Ok(empty_page()) };
    let after = after.map(|id| require_task(tx, run, id)).transpose()?.and_then(|place| place.key.task);
    let rows = tx.progress(ProgressWanted::OfRun { run, after }, page_limit(limit))?;
    Ok(page(rows, |progress| progress.task))
}
