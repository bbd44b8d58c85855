//! Make FAILED tasks PENDING whose retry is due.

use super::SqliteStore;
use super::task_row::TaskRow;
use super::transit::Brings;
use super::write::{ScopeKey, Sql};
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
                let mut task = TaskRow::by_key(write.tx(), key)?;
                let retried = write.transit(&mut task, Signal::Retry, Brings::default());
                retried.map_err(|error| error.in_step(key))?;
            }
            Ok(Retried { tasks, more: tasks == limit })
        })
    }
}

/// The keys of FAILED tasks whose retry is due: the rule is [`conductor_model::retry_is_due`].
fn due(connection: &Connection, step: &Step, limit: u32) -> Result<Vec<i64>, Fault> {
    let scope = ScopeKey::of(step.scope, connection)?;
    let mut keys = seek(connection, RETRY_DUE, RETRY_DUE_OF_RUN, scope, step.now, limit)?;
    let rest = limit.saturating_sub(u32::try_from(keys.len()).unwrap_or(u32::MAX));
    if rest > 0 {
        let jumped = step.now.plus_millis(MAX_BACKOFF_MS);
        keys.extend(seek(connection, RETRY_JUMPED, RETRY_JUMPED_OF_RUN, scope, jumped, rest)?);
    }
    Ok(keys)
}

pub(super) fn seek(
    connection: &Connection,
    all: &str,
    of_run: &str,
    scope: ScopeKey,
    at: Timestamp,
    limit: u32,
) -> Result<Vec<i64>, Fault> {
    match scope.run() {
        Some(run) => connection.all(of_run, params![limit, at.as_millis(), run], |row| row.get(0)),
        None => connection.all(all, params![limit, at.as_millis()], |row| row.get(0)),
    }
}

pub(super) const RETRY_DUE: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_due \
    WHERE state = 3 AND due_at IS NOT NULL AND due_at <= ?2 LIMIT ?1";
pub(super) const RETRY_DUE_OF_RUN: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_due \
    WHERE state = 3 AND due_at IS NOT NULL AND due_at <= ?2 AND run = ?3 LIMIT ?1";
pub(super) const RETRY_JUMPED: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_due \
    WHERE state = 3 AND due_at IS NOT NULL AND due_at > ?2 LIMIT ?1";
pub(super) const RETRY_JUMPED_OF_RUN: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_due \
    WHERE state = 3 AND due_at IS NOT NULL AND due_at > ?2 AND run = ?3 LIMIT ?1";
