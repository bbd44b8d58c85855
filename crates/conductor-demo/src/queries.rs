//! Queries that the scenarios share.

use crate::failure::Failure;
use origin_conductor::store::{EventFilter, MAX_PAGE, Query, TaskFilter};
use origin_conductor::{Event, ReportOutcome, Run, RunId, State, Task, TaskId};
use serde::de::DeserializeOwned;

/// Returns a run that must exist.
pub(crate) fn run(store: &(impl Query + ?Sized), id: RunId) -> Result<Run, Failure> {
    store.run(id)?.ok_or_else(|| Failure::new(format!("run {id} does not exist")))
}

/// Returns the state of a run.
pub(crate) fn state(store: &(impl Query + ?Sized), run_id: RunId) -> Result<State, Failure> {
    Ok(run(store, run_id)?.state)
}

/// Returns a task that must exist.
pub(crate) fn task(store: &(impl Query + ?Sized), id: TaskId) -> Result<Task, Failure> {
    store.task(id)?.ok_or_else(|| Failure::new(format!("task {id} does not exist")))
}

/// Returns the first root task of a run.
pub(crate) fn root(store: &(impl Query + ?Sized), run: RunId) -> Result<Task, Failure> {
    let first = store.tasks(run, TaskFilter::default(), None, 1)?.items.pop();
    first.ok_or_else(|| Failure::new(format!("run {run} has no task")))
}

/// Returns the input of a task that must have one.
pub(crate) fn input<T: DeserializeOwned>(task: &Task) -> Result<T, Failure> {
    let input = task.input.as_ref().ok_or_else(|| Failure::new(format!("{} has no input", task.name)))?;
    Ok(input.to()?)
}

/// Returns the first page of children of a parent.
pub(crate) fn children(store: &(impl Query + ?Sized), parent: TaskId) -> Result<Vec<Task>, Failure> {
    Ok(store.children(parent, 0, MAX_PAGE)?.items)
}

/// Calls `visit` with every child of a parent, page by page.
pub(crate) fn each_child(
    store: &(impl Query + ?Sized),
    parent: TaskId,
    mut visit: impl FnMut(Task) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut after = Some(0);
    while let Some(index) = after {
        let page = store.children(parent, index, MAX_PAGE)?;
        page.items.into_iter().try_for_each(&mut visit)?;
        after = page.next;
    }
    Ok(())
}

/// Calls `visit` with every event that matches a filter, page by page.
pub(crate) fn each_event(
    store: &(impl Query + ?Sized),
    filter: EventFilter<'_>,
    mut visit: impl FnMut(Event) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut after = Some(0);
    while let Some(seq) = after {
        let page = store.events(filter, seq, MAX_PAGE)?;
        page.items.into_iter().try_for_each(&mut visit)?;
        after = page.next;
    }
    Ok(())
}

/// Fails unless the store applied every report.
pub(crate) fn applied(reports: Vec<ReportOutcome>) -> Result<(), Failure> {
    for report in reports {
        match report {
            ReportOutcome::Applied => {}
            ReportOutcome::Rejected(why) => return Err(why.into()),
            other => return Err(Failure::new(format!("a report was not applied: {other:?}"))),
        }
    }
    Ok(())
}
