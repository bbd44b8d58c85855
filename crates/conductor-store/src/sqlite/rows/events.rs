//! The event log: numbers for names, JSON for the other values.

use crate::StoreError;
use crate::backend::{KeySet, NewEvent, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql, array};
use crate::sqlite::rows::columns::{self, bad_row};
use crate::sqlite::rows::keys::RowKey;
pub(crate) use conductor_model::{EVENT_NAMES as NAMES, event_code as code_of};
use conductor_model::{Event, EventBody, RunId, TaskId, Timestamp};
use rusqlite::{Connection, Row, params};

pub(crate) const INSERT: &str =
    "INSERT INTO conductor_events (run, task, name, at, payload) VALUES (?1, ?2, ?3, ?4, ?5)";

pub(crate) const INSERT_LEAVES: &str =
    "INSERT INTO conductor_events (run, task, name, at) SELECT ?2, value, ?3, ?4 FROM rarray(?1)";

/// Appends one event of a run, or of one of its tasks.
pub(crate) fn record(
    connection: &Connection,
    run: i64,
    task: Option<i64>,
    at: Timestamp,
    body: &EventBody,
) -> Result<()> {
    let (code, payload) = columns_of(run, body)?;
    connection.run(INSERT, params![run, task, code, at.as_millis(), payload]).map(drop)
}

/// Appends events, in order.
pub(crate) fn append(connection: &Connection, events: &[NewEvent], at: Timestamp) -> Result<()> {
    for event in events {
        match event {
            NewEvent::Run(run, body) => record(connection, run.row(), None, at, body)?,
            NewEvent::Task(run, task, body) => record(connection, run.row(), Some(task.row()), at, body)?,
            NewEvent::Leaves(run, sets, body) => {
                let (run, (code, payload)) = (run.row(), columns_of(run.row(), body)?);
                let keys = sets.iter().flat_map(KeySet::iter).map(TaskKey::row);
                if payload.is_none() {
                    connection.run(INSERT_LEAVES, params![array(keys), run, code, at.as_millis()])?;
                } else {
                    for (place, key) in (0..).zip(keys) {
                        record(connection, run, Some(key), at, &body.of_sibling(place))?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// The columns name and payload of an event.
fn columns_of(run: i64, body: &EventBody) -> Result<(i64, Option<String>)> {
    let code = code_of(body.name()).ok_or_else(|| bad_row("run", run, "an event has no number"))?;
    Ok((code, payload(body)?))
}

/// The values of an event as JSON; most events have none.
pub(crate) fn payload(body: &EventBody) -> Result<Option<String>> {
    match body {
        EventBody::TaskStarted | EventBody::TaskSucceeded | EventBody::TaskRetried => Ok(None),
        other => {
            let value = serde_json::to_value(other).map_err(|error| StoreError::Backend(Box::new(error)))?;
            let payload = value.get("payload").filter(|payload| *payload != &serde_json::json!({}));
            Ok(payload.map(ToString::to_string))
        }
    }
}

/// The columns of [`event_record`].
pub(crate) const SELECT_EVENTS: &str = "SELECT e.seq, r.id, t.id, e.name, e.at, e.payload \
    FROM conductor_events e \
    JOIN conductor_runs r ON r.key = e.run \
    LEFT JOIN conductor_tasks t ON t.key = e.task";

/// An event from [`SELECT_EVENTS`].
pub(crate) fn event_record(row: &Row<'_>) -> rusqlite::Result<Event> {
    let code: u32 = row.get(3)?;
    let payload = row.get_ref(5)?.as_str_or_null()?;
    let body = read_body(code, payload).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(5, rusqlite::types::Type::Text, Box::new(error))
    })?;
    let task: Option<[u8; 16]> = row.get(2)?;
    Ok(Event {
        seq: row.get::<_, i64>(0)?.cast_unsigned(),
        run: RunId::from_u128(columns::id(row, 1)?),
        task: task.map(u128::from_be_bytes).map(TaskId::from_u128),
        at: columns::timestamp(row, 4)?,
        body,
    })
}

/// Reads an event.
pub(crate) fn read_body(code: u32, payload: Option<&str>) -> serde_json::Result<EventBody> {
    let name = NAMES.get(code as usize).copied().unwrap_or("?");
    match (name, payload) {
        // Most events are one of these.
        ("task.started", None) => Ok(EventBody::TaskStarted),
        ("task.succeeded", None) => Ok(EventBody::TaskSucceeded),
        (_, Some(payload)) => serde_json::from_str(&format!(r#"{{"name":"{name}","payload":{payload}}}"#)),
        // A payload with only default values is not stored.
        (_, None) => serde_json::from_str(&format!(r#"{{"name":"{name}"}}"#))
            .or_else(|_| serde_json::from_str(&format!(r#"{{"name":"{name}","payload":{{}}}}"#))),
    }
}
