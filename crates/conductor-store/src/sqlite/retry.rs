//! Make FAILED tasks PENDING whose retry is due.

use super::SqliteStore;
use super::damage::MAX_COUNT;
use super::sql::{ScopeKey, Sql};
use super::transit::{Brings, TransitError};
use crate::{Fault, Retried, Step};
use conductor_model::{MAX_BACKOFF_MS, Signal, Timestamp};
use rusqlite::{Connection, params};

impl SqliteStore {
    pub(super) fn retry_step(&self, step: &Step) -> Result<Retried, Fault> {
        if !self.probe(|connection| Ok(!due(connection, step, 1)?.is_empty()))? {
            return Ok(Retried::default());
        }
        let limit = step.limit.max(1);
        self.write(step.now, |write| {
            let due = due(write.tx(), step, limit)?;
            let tasks = u32::try_from(due.len()).unwrap_or(u32::MAX);
            for key in due {
                let Some(mut task) = write.found(key)? else { continue };
                task.retry_count = task.retry_count.min(MAX_COUNT - 1);
                match write.transit(&mut task, Signal::Retry, Brings::default()) {
                    Ok(()) => {}
                    // Another program wrote a time there, on a parent: it must not be found again and again.
                    Err(TransitError::Illegal(_)) => drop(write.tx().run(NOTHING_DUE, [key])?),
                    Err(TransitError::Fault(fault)) => return Err(fault),
                }
            }
            Ok(Retried { tasks, more: tasks == limit })
        })
    }
}

/// The keys of FAILED tasks whose retry is due: the rule is [`conductor_model::retry_is_due`].
fn due(connection: &Connection, step: &Step, limit: u32) -> Result<Vec<i64>, Fault> {
    let scope = ScopeKey::of(step.scope, connection)?;
    let mut keys = seek(connection, RETRY_DUE, scope, step.now, limit)?;
    let rest = limit.saturating_sub(u32::try_from(keys.len()).unwrap_or(u32::MAX));
    if rest > 0 {
        let jumped = step.now.plus_millis(MAX_BACKOFF_MS);
        keys.extend(seek(connection, RETRY_JUMPED, scope, jumped, rest)?);
    }
    Ok(keys)
}

/// The keys that a statement over the index of what is due finds, on one side of a moment.
pub(super) fn seek(
    connection: &Connection,
    sql: &str,
    scope: ScopeKey,
    moment: Timestamp,
    limit: u32,
) -> Result<Vec<i64>, Fault> {
    let (from, to) = scope.range();
    connection.all(sql, params![limit, moment.as_millis(), from, to], |row| row.get(0))
}

pub(super) const RETRY_DUE: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_due \
    WHERE state = 3 AND due_at <= ?2 AND run BETWEEN ?3 AND ?4 LIMIT ?1";
pub(super) const RETRY_JUMPED: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_due \
    WHERE state = 3 AND due_at > ?2 AND run BETWEEN ?3 AND ?4 LIMIT ?1";
pub(super) const NOTHING_DUE: &str = "UPDATE conductor_tasks SET due_at = NULL WHERE key = ?1";
