//! Runs and tasks.

use crate::backend::{ReadTx, Rows, RunsWanted, TaskRecords, TasksWanted};
use crate::ops::input::ParentInputs;
use crate::ops::page::{BYTES_PER_PAGE, empty_page, page, page_limit};
use crate::ops::scope::{find_run, require_run, require_task};
use crate::{NodeId, Page, StoreError, TaskFilter};
use conductor_model::{Json, Run, RunId, Task, TaskId};

/// See [`Query::run`](crate::Query::run).
pub(crate) fn run(tx: &mut dyn ReadTx, id: RunId) -> Result<Option<Run>, StoreError> {
    Ok(tx.runs(RunsWanted::Id(id), 1)?.items.pop())
}

/// See [`Query::runs`](crate::Query::runs).
pub(crate) fn runs(
    tx: &mut dyn ReadTx,
    after: Option<RunId>,
    limit: u32,
) -> Result<Page<Run, RunId>, StoreError> {
    let after = after.map(|id| require_run(tx, id)).transpose()?;
    Ok(page(tx.runs(RunsWanted::After(after), page_limit(limit))?, |run| run.id))
}

/// See [`Query::task`](crate::Query::task).
pub(crate) fn task(tx: &mut dyn ReadTx, id: TaskId) -> Result<Option<Task>, StoreError> {
    let records = tx.tasks(TasksWanted::Id(id), 1, BYTES_PER_PAGE)?;
    Ok(tasks_with_inputs(records)?.items.pop())
}

/// See [`Query::tasks`](crate::Query::tasks).
pub(crate) fn tasks(
    tx: &mut dyn ReadTx,
    run: RunId,
    filter: TaskFilter,
    after: Option<TaskId>,
    limit: u32,
) -> Result<Page<Task, TaskId>, StoreError> {
    let Some(run) = find_run(tx, run)? else { return Ok(empty_page()) };
    let after = after.map(|id| require_task(tx, run, id)).transpose()?;
    let after = after.map(|place| (place.parent.and_then(|parent| parent.task), place.index));
    let wanted = TasksWanted::OfRun { run, after, state: filter.state };
    let records = tx.tasks(wanted, page_limit(limit), BYTES_PER_PAGE)?;
    Ok(page(tasks_with_inputs(records)?, |task| task.id))
}

/// See [`Query::children`](crate::Query::children).
pub(crate) fn children(
    tx: &mut dyn ReadTx,
    parent: TaskId,
    after: u32,
    limit: u32,
) -> Result<Page<Task, u32>, StoreError> {
    let Some(place) = tx.locate(NodeId::Task(parent))? else { return Ok(empty_page()) };
    let wanted = TasksWanted::Children { parent: place.key, after };
    let records = tx.tasks(wanted, page_limit(limit), BYTES_PER_PAGE)?;
    Ok(page(tasks_with_inputs(records)?, |task| task.index))
}

/// The tasks of a page with their inputs, up to the task with which it has [`BYTES_PER_PAGE`].
fn tasks_with_inputs(records: TaskRecords) -> Result<Rows<Task>, StoreError> {
    let mut inputs = ParentInputs::default();
    inputs.learn(records.parent_inputs);
    let mut tasks = Rows { items: Vec::with_capacity(records.rows.items.len()), more: records.rows.more };
    let mut bytes = 0;
    for record in records.rows.items {
        if bytes >= BYTES_PER_PAGE {
            tasks.more = true;
            break;
        }
        let mut task = record.task;
        // Without the row of the parent, the kind of its fan-out is unknown.
        if task.input.is_none() && task.parent.is_some() {
            task.input = inputs.input_of(record.position, None).map_err(corrupt_input)?.into_json();
        }
        let size = |json: &Option<Json>| json.as_ref().map_or(0, |json| json.as_str().len());
        bytes += size(&task.input) + size(&task.output);
        tasks.items.push(task);
    }
    Ok(tasks)
}

/// The error for a task whose input cannot be read.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn corrupt_input(reason: String) -> StoreError {
    let reason = format!("the input of its parent cannot be read: {reason}");
    StoreError::CorruptRow { row: "a row of the database".into(), reason }
}
