//! The events of a run, as they are stored.

use crate::backend::{AuditEvent, RunKey};
use crate::sqlite::connection::sql::{Result, Sql, break_if, fault};
use crate::sqlite::reads::events::{EventRow, event_columns};
use crate::sqlite::rows::event_body::NAMES;
use crate::sqlite::rows::events::{PER_ROW, seq_of};
use crate::sqlite::rows::keys::RowKey;
use rusqlite::{Connection, params};

/// The next events of a run.
pub(crate) fn page(connection: &Connection, run: RunKey, after: u64, limit: u32) -> Result<Vec<AuditEvent>> {
    let first = i64::try_from(after / PER_ROW).unwrap_or(i64::MAX);
    let mut page = Vec::new();
    connection.each(PAGE, params![run.row(), first], |row| {
        let mut row = EventRow::read(row, 0).map_err(fault)?;
        let name = usize::try_from(row.name).ok().and_then(|code| NAMES.get(code));
        for (place, task) in (0..).zip(row.tasks()) {
            let seq = seq_of(row.key, u64::from(place));
            if seq > after && page.len() < limit as usize {
                page.push(AuditEvent {
                    seq,
                    task,
                    name: name.copied().unwrap_or("?"),
                    body: row.body_at(place),
                });
            }
        }
        Ok(break_if(page.len() == limit as usize))
    })?;
    Ok(page)
}

const PAGE: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM conductor_events e INDEXED BY conductor_events_run WHERE e.run = ?1 AND e.key >= ?2 ORDER BY e.key"
);
