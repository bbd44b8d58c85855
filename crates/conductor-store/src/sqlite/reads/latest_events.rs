//! The newest events of a run.

use crate::backend::{LatestEvents, PastEvent};
use crate::sqlite::connection::sql::{Result, Sql, fault};
use crate::sqlite::rows::events::{code_of, read_body};
use crate::sqlite::rows::keys::{RowKey, parent_columns};
use crate::sqlite::rows::{columns, conditions::sql};
use conductor_model::Timestamp;
use rusqlite::{Connection, Row, params};

/// See [`ReadTx::latest_events`](crate::backend::ReadTx::latest_events).
pub(crate) fn latest_events(connection: &Connection, wanted: LatestEvents) -> Result<Vec<PastEvent>> {
    match wanted {
        LatestEvents::Since { run, since, limit } => events_since(connection, run.row(), since, limit),
        LatestEvents::CancelRequest(parent) => {
            let (run, task) = parent_columns(parent);
            let newest = if task == 0 {
                let params = params![run, code_of("run.cancel_requested")];
                connection.first(SELECT_LAST_EVENT, params, past_event)?
            } else {
                let params = params![run, code_of("task.cancel_requested"), task];
                connection.first(SELECT_LAST_OF_TASK, params, past_event)?
            };
            Ok(newest.into_iter().collect())
        }
        LatestEvents::Cancel(run, task, at) => {
            let (run, task, name) = (run.row(), task.row(), code_of("task.cancelled"));
            let newest = params![run, name, task, at.as_millis()];
            if let Some(event) = connection.first(SELECT_LAST_CANCEL, newest, past_event)? {
                return Ok(vec![event]);
            }
            let since = first_event_since(connection, run, name, at)?;
            let params = params![run, name, task, at.as_millis(), since];
            Ok(connection.first(SELECT_CANCEL_SINCE, params, past_event)?.into_iter().collect())
        }
    }
}

/// The last events of a run, up to the first that is older.
fn events_since(connection: &Connection, run: i64, since: Timestamp, limit: u32) -> Result<Vec<PastEvent>> {
    let mut statement = connection.cached(RECENT)?;
    let mut rows = statement.query(params![run, limit]).map_err(fault)?;
    let mut recent = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        if columns::timestamp(row, 1).map_err(fault)? < since {
            break;
        }
        recent.push(past_event(row).map_err(fault)?);
    }
    Ok(recent)
}

/// Three columns: name, at, payload.
fn past_event(row: &Row<'_>) -> rusqlite::Result<PastEvent> {
    let payload = row.get_ref(2)?.as_str_or_null()?;
    Ok(PastEvent { at: columns::timestamp(row, 1)?, body: read_body(row.get(0)?, payload).ok() })
}

/// Where the events of a name begin that are not older than a moment. Where a clock went back it may be elsewhere.
fn first_event_since(connection: &Connection, run: i64, name: Option<i64>, since: Timestamp) -> Result<i64> {
    let last = connection.first("SELECT max(seq) FROM conductor_events", [], |row| row.get(0))?;
    let (mut from, mut to): (i64, i64) = (0, last.flatten().unwrap_or(0));
    while from < to {
        let middle = from.midpoint(to);
        let next = connection.first(SELECT_NEXT_EVENT, params![run, name, middle], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?))
        })?;
        match next {
            Some((seq, at)) if at < since.as_millis() => from = i64::max(seq, middle) + 1,
            _ => to = middle,
        }
    }
    Ok(from)
}

pub(crate) const RECENT: &str = "SELECT e.name, e.at, e.payload FROM conductor_events e \
    INDEXED BY conductor_events_run WHERE e.run = ?1 ORDER BY e.seq DESC LIMIT ?2";

// Of the events of a run with a name that is few:

/// The newest.
pub(crate) const SELECT_LAST_EVENT: &str = sql!("SELECT name, at, payload \
    FROM " rare_events_of_run " AND name = ?2 ORDER BY seq DESC LIMIT 1");

/// The newest of a task, among the last.
pub(crate) const SELECT_LAST_OF_TASK: &str = sql!("SELECT name, at, payload FROM (SELECT name, task, at, payload \
    FROM " rare_events_of_run " AND name = ?2 ORDER BY seq DESC LIMIT 1000) WHERE task = ?3 LIMIT 1");

/// That of a task at a moment, among the last.
pub(crate) const SELECT_LAST_CANCEL: &str = sql!("SELECT name, at, payload FROM (SELECT name, task, at, payload \
    FROM " rare_events_of_run " AND name = ?2 ORDER BY seq DESC LIMIT 500) WHERE task = ?3 AND at = ?4 LIMIT 1");

/// The same, among those behind another.
pub(crate) const SELECT_CANCEL_SINCE: &str = sql!("SELECT name, at, payload FROM (SELECT name, task, at, payload \
    FROM " rare_events_of_run " AND name = ?2 AND seq >= ?5 ORDER BY seq LIMIT 500) \
    WHERE task = ?3 AND at = ?4 LIMIT 1");

/// The next from a number on.
pub(crate) const SELECT_NEXT_EVENT: &str = sql!("SELECT seq, at \
    FROM " rare_events_of_run " AND name = ?2 AND seq >= ?3 ORDER BY seq LIMIT 1");
