//! What an event says, as its row stores it: a number for its name, JSON for the other values.

use crate::StoreError;
use crate::sqlite::connection::sql::Result;
use conductor_model::EventBody;
pub(crate) use conductor_model::{EVENT_NAMES as NAMES, event_code as code_of};

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
