//! The event log: numbers for names, JSON for what else is to be said.

use super::rows::{self, bad_row};
use super::sql::{Sql, array};
use crate::StoreError;
pub(super) use conductor_model::{EVENT_NAMES as NAMES, event_code as code_of};
use conductor_model::{Event, EventBody, NodeType, RunId, Signal, TaskId, Timestamp, transition_event};
use rusqlite::{Connection, Row, params};

pub(super) const INSERT: &str =
    "INSERT INTO conductor_events (run, task, name, at, payload) VALUES (?1, ?2, ?3, ?4, ?5)";

pub(super) const INSERT_LEAVES: &str =
    "INSERT INTO conductor_events (run, task, name, at) SELECT ?2, value, ?3, ?4 FROM rarray(?1)";

/// Appends an event of a run, or of one of its tasks.
pub(super) fn record(
    tx: &Connection,
    run: i64,
    task: Option<i64>,
    at: Timestamp,
    body: &EventBody,
) -> Result<(), StoreError> {
    let code = code_of(body.name()).ok_or_else(|| bad_row("run", run, "an event has no number"))?;
    tx.run(INSERT, params![run, task, code, at.as_millis(), payload(body)?])?;
    Ok(())
}

/// Appends the event that a transition leaves.
pub(super) fn record_transition(
    tx: &Connection,
    run: i64,
    task: Option<i64>,
    at: Timestamp,
    (shape, signal): (NodeType, Signal),
) -> Result<(), StoreError> {
    match transition_event(shape, signal) {
        Some(body) => record(tx, run, task, at, &body),
        None => Ok(()),
    }
}

/// Appends the event that the same transition of many leaves of one run leaves: it says nothing but its name.
pub(super) fn record_leaves(
    tx: &Connection,
    run: i64,
    tasks: impl Iterator<Item = i64>,
    at: Timestamp,
    signal: Signal,
) -> Result<(), StoreError> {
    let code = transition_event(NodeType::Leaf, signal).and_then(|body| code_of(body.name()));
    let code = code.ok_or_else(|| bad_row("run", run, "an event has no number"))?;
    tx.run(INSERT_LEAVES, params![array(tasks), run, code, at.as_millis()])?;
    Ok(())
}

/// What the event says beside its name, as JSON; most events say nothing more.
fn payload(body: &EventBody) -> Result<Option<String>, StoreError> {
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
pub(super) const SELECT_EVENTS: &str = "SELECT e.seq, r.id, t.id, e.name, e.at, e.payload \
    FROM conductor_events e \
    JOIN conductor_runs r ON r.key = e.run \
    LEFT JOIN conductor_tasks t ON t.key = e.task";

/// An event from [`SELECT_EVENTS`].
pub(super) fn event_record(row: &Row<'_>) -> rusqlite::Result<Event> {
    let code: u32 = row.get(3)?;
    let payload = row.get_ref(5)?.as_str_or_null()?;
    let body = read_body(code, payload).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(5, rusqlite::types::Type::Text, Box::new(error))
    })?;
    let task: Option<[u8; 16]> = row.get(2)?;
    Ok(Event {
        seq: row.get::<_, i64>(0)?.cast_unsigned(),
        run: RunId::from_u128(rows::id(row, 1)?),
        task: task.map(u128::from_be_bytes).map(TaskId::from_u128),
        at: rows::timestamp(row, 4)?,
        body,
    })
}

/// The names of most events: what they say needs no parser.
const STARTED: u32 = 9;
const SUCCEEDED: u32 = 10;

/// What an event says.
pub(super) fn read_body(code: u32, payload: Option<&str>) -> serde_json::Result<EventBody> {
    let name = NAMES.get(code as usize).copied().unwrap_or("?");
    match payload {
        None if code == STARTED => Ok(EventBody::TaskStarted),
        None if code == SUCCEEDED => Ok(EventBody::TaskSucceeded),
        Some(payload) => serde_json::from_str(&format!(r#"{{"name":"{name}","payload":{payload}}}"#)),
        // A payload in which everything is as usual is not stored, and is no payload at all for most events.
        None => serde_json::from_str(&format!(r#"{{"name":"{name}"}}"#))
            .or_else(|_| serde_json::from_str(&format!(r#"{{"name":"{name}","payload":{{}}}}"#))),
    }
}
