//! The newest events of a run.

use super::events::{EventRow, event_columns};
use crate::backend::{LatestEvents, PastEvent};
use crate::sqlite::connection::sql::{Result, Sql, break_if, fault};
use crate::sqlite::rows::block;
use crate::sqlite::rows::columns;
use crate::sqlite::rows::conditions::sql;
use crate::sqlite::rows::event_body::code_of;
use crate::sqlite::rows::keys::{RowKey, parent_columns};
use conductor_model::Timestamp;
use rusqlite::{Connection, Row, params};

/// See [`ReadTx::latest_events`](crate::backend::ReadTx::latest_events).
pub(crate) fn latest_events(connection: &Connection, wanted: LatestEvents) -> Result<Vec<PastEvent>> {
    match wanted {
        LatestEvents::Since { run, since, limit } => events_since(connection, run.row(), since, limit),
        LatestEvents::CancelRequest(parent) => {
            let (run, task) = parent_columns(parent);
            let name = if task == 0 { "run.cancel_requested" } else { "task.cancel_requested" };
            let newest = connection.first(LAST_REQUEST, params![run, code_of(name), task], past_event)?;
            Ok(newest.into_iter().map(|(event, _)| event).collect())
        }
        LatestEvents::Cancel(run, task, at) => {
            for sql in [LAST_CANCELS, CANCELS_SINCE] {
                let name = code_of("task.cancelled");
                let (number, _) = block::place(task);
                let params = params![run.row(), name, task.row(), at.as_millis(), format!("[{number},")];
                for (event, mut row) in connection.all(sql, params, past_event)? {
                    if event.at == at && row.tasks().contains(&Some(task)) {
                        return Ok(vec![event]);
                    }
                }
            }
            Ok(Vec::new())
        }
    }
}

/// The last events of a run, up to the first that is older.
fn events_since(connection: &Connection, run: i64, since: Timestamp, limit: u32) -> Result<Vec<PastEvent>> {
    let mut recent = Vec::new();
    connection.each(RECENT, [run], |row| {
        let rest = limit as usize - recent.len();
        let (event, _) = past_event(row).map_err(fault)?;
        if event.at < since {
            return Ok(break_if(true));
        }
        let count: u32 = row.get(6).map_err(fault)?;
        recent.extend(std::iter::repeat_n(event, rest.min(count as usize)));
        Ok(break_if(recent.len() == limit as usize))
    })?;
    Ok(recent)
}

fn past_event(row: &Row<'_>) -> rusqlite::Result<(PastEvent, EventRow)> {
    let event = EventRow::read(row, 0)?;
    Ok((PastEvent { at: columns::timestamp(row, 5)?, body: event.body.clone().ok() }, event))
}

macro_rules! select_events {
    ($($rest:tt)+) => {
        sql!("SELECT " (event_columns!()) ", e.at, e.count FROM conductor_events e INDEXED BY " $($rest)+)
    };
}

/// Selects events of a run with a name.
macro_rules! select_named {
    ($rest:literal) => {
        select_events!("conductor_events_name WHERE e.run = ?1 AND e.name = ?2 AND " rare_event " AND " $rest)
    };
}

const RECENT: &str = select_events!("conductor_events_run WHERE e.run = ?1 ORDER BY e.key DESC");

const LAST_REQUEST: &str = select_named!("(?3 = 0 OR e.task = ?3) ORDER BY e.key DESC LIMIT 1");

const LAST_CANCELS: &str =
    select_named!("e.at = ?4 AND (e.task = ?3 OR instr(e.tasks, ?5) > 0) ORDER BY e.key DESC LIMIT 500");

const CANCELS_SINCE: &str =
    select_named!("e.at = ?4 AND (e.task = ?3 OR instr(e.tasks, ?5) > 0) ORDER BY e.key LIMIT 500");
