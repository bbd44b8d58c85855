//! The events of a run, as they are stored.

use crate::backend::{AuditEvent, RunKey, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::{events, keys::RowKey};
use conductor_model::EventBody;
use rusqlite::{Connection, Row, params};

/// The next events of a run.
pub(crate) fn page(connection: &Connection, run: RunKey, after: u64, limit: u32) -> Result<Vec<AuditEvent>> {
    let (run, after) = (run.row(), after.cast_signed());
    let page = connection.first(PAGE, params![run, after, limit], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, Option<i64>>(2)?))
    })?;
    let Some((count, Some(first), Some(end))) = page else { return Ok(Vec::new()) };
    // If most rows in between are of this run, reading the table is twice as fast as seeking each event.
    let sql = if end - first < 2 * count { EVENTS_IN_TABLE_ORDER } else { EVENTS };
    connection.all(sql, params![run, after, end], event)
}

fn event(row: &Row<'_>) -> rusqlite::Result<AuditEvent> {
    let (seq, task, code): (i64, Option<i64>, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let name = usize::try_from(code).ok().and_then(|code| events::NAMES.get(code));
    Ok(AuditEvent {
        seq: seq.cast_unsigned(),
        task: task.map(TaskKey::of_row),
        name: name.copied().unwrap_or("?"),
        body: body(row, code)?,
    })
}

fn body(row: &Row<'_>, code: i64) -> rusqlite::Result<Result<EventBody, String>> {
    let payload = row.get_ref(3)?.as_str_or_null();
    Ok(match (u32::try_from(code), payload) {
        (Ok(code), Ok(payload)) => events::read_body(code, payload).map_err(|error| error.to_string()),
        (Err(_), _) => Err(format!("{code} is not an event")),
        (_, Err(error)) => Err(error.to_string()),
    })
}

/// How many events are next, and where the first and the last of them lie: read from the index alone.
pub(crate) const PAGE: &str = "SELECT count(*), min(seq), max(seq) FROM (SELECT seq FROM conductor_events \
    INDEXED BY conductor_events_run WHERE run = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3)";
pub(crate) const EVENTS: &str = "SELECT seq, task, name, payload FROM conductor_events \
    INDEXED BY conductor_events_run WHERE run = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq";
pub(crate) const EVENTS_IN_TABLE_ORDER: &str = "SELECT seq, task, name, payload FROM conductor_events \
    NOT INDEXED WHERE run = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq";
