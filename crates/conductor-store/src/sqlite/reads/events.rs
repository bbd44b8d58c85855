//! The event log, as readers see it.

use super::page::rows_up_to;
use crate::backend::{EventsWanted, Rows, RunKey, TaskKey};
use crate::sqlite::connection::sql::{Result, fault};
use crate::sqlite::rows::events::{SELECT_EVENTS, code_of, event_record};
use crate::sqlite::rows::keys::RowKey;
use conductor_model::{Event, Timestamp};
use rusqlite::{Connection, params};

/// See [`ReadTx::events`](crate::backend::ReadTx::events).
pub(crate) fn events(
    connection: &Connection,
    wanted: &EventsWanted<'_>,
    limit: u32,
) -> Result<Rows<Result<Event>>> {
    let name = match wanted.name.map(code_of) {
        Some(None) => return Ok(Rows { items: Vec::new(), more: false }),
        Some(code) => code,
        None => None,
    };
    let (since, until) = (wanted.since.map(Timestamp::as_millis), wanted.until.map(Timestamp::as_millis));
    let after = i64::try_from(wanted.after).unwrap_or(i64::MAX);
    let (run, task) = (wanted.run.map(RunKey::row), wanted.task.map(TaskKey::row));
    let params = params![after, limit.saturating_add(1), task, name, since, until, run];
    rows_up_to(connection, &events_sql(run.is_some()), params, limit, |row| {
        Ok(event_record(row).map_err(fault))
    })
}

/// Events after a sequence number, of one run or of all.
pub(crate) fn events_sql(of_run: bool) -> String {
    let run = if of_run { "e.run = ?7" } else { "?7 IS NULL" };
    format!(
        "{SELECT_EVENTS} WHERE {run} AND e.seq > ?1 AND (?3 IS NULL OR e.task = ?3) AND (?4 IS NULL OR e.name = ?4) \
         AND (?5 IS NULL OR e.at >= ?5) AND (?6 IS NULL OR e.at < ?6) ORDER BY e.seq LIMIT ?2"
    )
}
