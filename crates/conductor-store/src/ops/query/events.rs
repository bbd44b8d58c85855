//! The event log.

use crate::backend::{EventsWanted, ReadTx, Rows};
use crate::ops::page::{empty_page, page, page_limit};
use crate::ops::scope::find_run;
use crate::{EventFilter, NodeId, Page, StoreError};
use conductor_model::Event;

/// See [`Query::events`](crate::Query::events).
pub(crate) fn events(
    tx: &mut dyn ReadTx,
    filter: EventFilter<'_>,
    after: u64,
    limit: u32,
) -> Result<Page<Event, u64>, StoreError> {
    let EventFilter { name, since, until, .. } = filter;
    let mut wanted = EventsWanted { name, since, until, after, ..EventsWanted::default() };
    if let Some(id) = filter.run {
        let Some(run) = find_run(tx, id)? else { return Ok(empty_page()) };
        wanted.run = Some(run);
    }
    if let Some(id) = filter.task {
        let Some(place) = tx.locate(NodeId::Task(id))? else { return Ok(empty_page()) };
        if wanted.run.is_some_and(|run| run != place.key.run) {
            return Ok(empty_page());
        }
        (wanted.run, wanted.task) = (Some(place.key.run), place.key.task);
    }
    let rows = tx.events(&wanted, page_limit(limit))?;
    Ok(page(readable_events(rows)?, |event| event.seq))
}

/// The events up to the first that cannot be read. The next page begins with that one, and fails.
fn readable_events(rows: Rows<Result<Event, StoreError>>) -> Result<Rows<Event>, StoreError> {
    let mut events = Rows { items: Vec::with_capacity(rows.items.len()), more: rows.more };
    for event in rows.items {
        match event {
            Ok(event) => events.items.push(event),
            Err(StoreError::CorruptRow { .. }) if !events.items.is_empty() => {
                events.more = true;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(events)
}
