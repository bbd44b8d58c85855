//! Reads everything of a kind, page by page.

use crate::fixture::AnyStore;
use conductor_model::{Event, Run, RunId, Task};
use conductor_store::{EventFilter, Page, TaskFilter};

pub(crate) fn all_runs(store: &dyn AnyStore) -> Vec<Run> {
    pages(None, |after| cursor_page(store.runs(after, 1000).expect("query succeeds")))
}

pub(crate) fn all_tasks(store: &dyn AnyStore, run: RunId) -> Vec<Task> {
    let filter = TaskFilter::default();
    pages(None, |after| cursor_page(store.tasks(run, filter, after, 1000).expect("query succeeds")))
}

pub(crate) fn all_events(store: &dyn AnyStore) -> Vec<Event> {
    pages(0, |after| store.events(EventFilter::default(), after, 1000).expect("query succeeds"))
}

/// Converts a page whose cursor is an id into one whose cursor is `None` for the first page.
pub(crate) fn cursor_page<T, C>(page: Page<T, C>) -> Page<T, Option<C>> {
    Page { items: page.items, next: page.next.map(Some) }
}

/// Reads pages until the last one, and returns all items.
pub(crate) fn pages<T, C>(first: C, mut page: impl FnMut(C) -> Page<T, C>) -> Vec<T> {
    let mut items = Vec::new();
    let mut next = Some(first);
    while let Some(cursor) = next {
        let page = page(cursor);
        items.extend(page.items);
        next = page.next;
    }
    items
}
