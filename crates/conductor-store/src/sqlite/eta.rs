//! What is left of a run, and how fast it went lately.

use super::event_log::read_body;
use super::rows;
use super::sql::{ScopeKey, Sql, fault};
use super::{monitor, query};
use crate::StoreError;
use conductor_model::{Eta, EventBody, RecentEvent, Timestamp};
use rusqlite::{Connection, params};

/// From how many events the pace is told. An engine settles and claims up to some thousands of tasks in one transaction, and
/// more than one of these must be among them.
const EVENTS: u32 = 10_000;
/// How many parents are asked for the children that they wait for.
const PARENTS: u32 = 10_000;

pub(super) fn of_run(connection: &Connection, run: i64, now: Timestamp) -> Result<Eta, StoreError> {
    let tally = query::tally(connection, ScopeKey::Run(run))?;
    let retries = monitor::retries_due(connection, run)?;
    let missing: Option<i64> = connection.first(MISSING, params![run, PARENTS], |row| row.get(0))?;
    let missing = missing.unwrap_or(0).cast_unsigned();
    let remaining = tally.pending + tally.running + retries + missing;
    Ok(Eta::of(remaining, &recent(connection, run, now)?, now))
}

/// The last events of the run, the newest first, up to the first that is too old.
fn recent(connection: &Connection, run: i64, now: Timestamp) -> Result<Vec<RecentEvent>, StoreError> {
    let since = now.minus_millis(Eta::WINDOW_MS);
    let mut statement = connection.cached(RECENT)?;
    let mut rows = statement.query(params![run, EVENTS]).map_err(fault)?;
    let mut recent = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        let at = rows::timestamp(row, 1).map_err(fault)?;
        if at < since {
            break;
        }
        let payload = row.get_ref(2).map_err(fault)?.as_str_or_null().map_err(|error| fault(error.into()))?;
        // What cannot be read settled nothing that is known.
        let body = row.get(0).map(|code| read_body(code, payload)).map_err(fault)?;
        recent.push(RecentEvent { at, settled: body.as_ref().is_ok_and(EventBody::settles_task) });
    }
    Ok(recent)
}

pub(super) const RECENT: &str = "SELECT e.name, e.at, e.payload FROM conductor_events e \
    INDEXED BY conductor_events_run WHERE e.run = ?1 ORDER BY e.seq DESC LIMIT ?2";

/// The children that parents still wait for.
const MISSING: &str = "SELECT coalesce(sum(missing), 0) FROM (SELECT fanout - children AS missing \
    FROM conductor_tasks INDEXED BY conductor_tasks_wants WHERE wants = 1 AND run = ?1 LIMIT ?2)";
