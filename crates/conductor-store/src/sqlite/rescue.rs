//! Take back claims whose lease is over or whose engine is gone.

use super::SqliteStore;
use super::sql::{Sql, array};
use super::write::Write;
use crate::{Rescue, StepOutcome, StoreError};
use conductor_model::{AttemptFailure, Jitter, Timestamp};
use rusqlite::{Connection, params};

impl SqliteStore {
    pub(super) fn rescue_claims(&self, request: &Rescue) -> Result<StepOutcome, StoreError> {
        let gone = self.engines_gone()?;
        if gone.is_empty() && !self.probe(|connection| Ok(!over(connection, request.now, 1)?.is_empty()))? {
            return Ok(StepOutcome::default());
        }
        let rescued = self.write(request.now, |write| {
            let limit = request.limit.max(1);
            let over = over(write.tx(), request.now, limit)?;
            let mut tasks = take_back(write, over, request.jitter)?;
            let held = held_by(write.tx(), &gone, limit - tasks)?;
            tasks += take_back(write, held, request.jitter)?;
            let more = tasks == limit;
            if !more {
                bury(write, &gone)?;
            }
            Ok(StepOutcome { changed: tasks, more })
        })?;
        if !rescued.more {
            self.forget_engines(&gone);
        }
        Ok(rescued)
    }
}

/// Fails the attempts at these tasks; how many.
fn take_back(write: &mut Write<'_>, keys: Vec<i64>, jitter: Jitter) -> Result<u32, StoreError> {
    let tasks = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    for key in keys {
        if let Some(mut task) = write.found(key)? {
            write.fail_in_step(&mut task, &AttemptFailure::LeaseExpired, jitter)?;
        }
    }
    Ok(tasks)
}

/// The keys of tasks whose lease is over: the rule is [`conductor_model::lease_expired`].
fn over(connection: &Connection, now: Timestamp, limit: u32) -> Result<Vec<i64>, StoreError> {
    let mut keys = connection.all(LEASE_OVER, params![limit, now.as_millis()], |row| row.get(0))?;
    let rest = limit.saturating_sub(u32::try_from(keys.len()).unwrap_or(u32::MAX));
    if rest > 0 {
        keys.extend(
            connection.all(LEASE_JUMPED, params![rest, now.as_millis()], |row| row.get::<_, i64>(0))?,
        );
    }
    Ok(keys)
}

/// The keys of tasks that these engines hold.
fn held_by(connection: &Connection, engines: &[Gone], limit: u32) -> Result<Vec<i64>, StoreError> {
    if engines.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let holders = array(engines.iter().map(|engine| engine.key));
    connection.all(HELD_BY, params![limit, holders], |row| row.get(0))
}

fn bury(write: &Write<'_>, gone: &[Gone]) -> Result<(), StoreError> {
    let keys = array(gone.iter().map(|engine| engine.key));
    write.tx().run("DELETE FROM conductor_engines WHERE key IN rarray(?1)", [keys]).map(|_| ())
}

/// An engine that is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone {
    pub(super) key: i64,
    pub(super) id: conductor_model::EngineId,
}

pub(super) const LEASE_OVER: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_running \
    WHERE state = 1 AND sealed IS NULL AND lease_until <= ?2 LIMIT ?1";
/// Reads the leases that run: as many as there are claims at this moment.
pub(super) const LEASE_JUMPED: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_running \
    WHERE state = 1 AND sealed IS NULL AND lease_until > ?2 \
    AND lease_until - ?2 > 2 * max(lease_until - updated_at, 0) LIMIT ?1";
/// The same; who holds them stands in no index, for engines die seldom.
pub(super) const HELD_BY: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_running \
    WHERE state = 1 AND sealed IS NULL AND lease_until IS NOT NULL AND holder IN rarray(?2) LIMIT ?1";
