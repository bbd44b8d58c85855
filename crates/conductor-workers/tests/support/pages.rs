//! Reads all pages of a query.

use conductor_model::{Event, Run, RunId, Task};
use conductor_store::{EventFilter, Query, StoreError, TaskFilter};

/// The largest page that a store returns.
const PAGE: u32 = 1000;

/// Returns all runs.
pub(crate) fn all_runs(store: &impl Query) -> Result<Vec<Run>, StoreError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.runs(after, PAGE)?;
        all.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// Returns all tasks of a run.
pub(crate) fn all_tasks(store: &impl Query, run: RunId) -> Result<Vec<Task>, StoreError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.tasks(run, TaskFilter::default(), after, PAGE)?;
        all.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// Returns all events that match a filter.
pub(crate) fn all_events(store: &impl Query, filter: EventFilter<'_>) -> Result<Vec<Event>, StoreError> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let page = store.events(filter, after, PAGE)?;
        all.extend(page.items);
        match page.next {
            Some(next) => after = next,
            None => return Ok(all),
        }
    }
}

/// Returns all events of one name in a run.
pub(crate) fn events_named(store: &impl Query, run: RunId, name: &str) -> Result<Vec<Event>, StoreError> {
    all_events(store, EventFilter { run: Some(run), name: Some(name), ..EventFilter::default() })
}
