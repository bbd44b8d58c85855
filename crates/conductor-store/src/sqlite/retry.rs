//! Make FAILED tasks PENDING whose retry is due.

use super::SqliteStore;
use super::damage::MAX_COUNT;
use super::sql::{ScopeKey, Sql};
use super::task_row::TaskRow;
use super::transit::{Brings, TransitError};
use super::write::Write;
use crate::{Step, StepOutcome, StoreError};
use conductor_model::{MAX_BACKOFF_MS, NodeType, Signal, Timestamp};
use rusqlite::{Connection, params};
use std::collections::HashSet;

impl SqliteStore {
    pub(super) fn retry_step(&self, step: &Step) -> Result<StepOutcome, StoreError> {
        if !self.probe(|connection| Ok(!due(connection, step, 1)?.is_empty()))? {
            return Ok(StepOutcome::default());
        }
        let limit = step.limit.max(1);
        self.write(step.now, |write| {
            let due = due(write.tx(), step, limit)?;
            let tasks = u32::try_from(due.len()).unwrap_or(u32::MAX);
            let mut usual = TaskRow::by_keys(write.tx(), due.iter().copied())?;
            usual.retain(|task| task.shape == NodeType::Leaf && task.retry_count < MAX_COUNT);
            if usual.len() < due.len() {
                let known: HashSet<i64> = usual.iter().map(|task| task.key).collect();
                for key in due.into_iter().filter(|key| !known.contains(key)) {
                    retry_unusual(write, key)?;
                }
            }
            write.transit_leaves(&mut usual, Signal::Retry, None)?;
            Ok(StepOutcome { changed: tasks, more: tasks == limit })
        })
    }
}

/// Retries what is no leaf like the others: another program changed it.
fn retry_unusual(write: &mut Write<'_>, key: i64) -> Result<(), StoreError> {
    let Some(mut task) = write.found(key)? else { return Ok(()) };
    task.retry_count = task.retry_count.min(MAX_COUNT - 1);
    match write.transit(&mut task, Signal::Retry, Brings::default()) {
        Ok(()) => Ok(()),
        // Another program wrote a time there, on a parent: it must not be found again and again.
        Err(TransitError::Illegal(_)) => write.tx().run(NOTHING_DUE, [key]).map(drop),
        Err(TransitError::StoreError(fault)) => Err(fault),
    }
}

/// The keys of FAILED tasks whose retry is due: the rule is [`conductor_model::retry_is_due`].
fn due(connection: &Connection, step: &Step, limit: u32) -> Result<Vec<i64>, StoreError> {
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
) -> Result<Vec<i64>, StoreError> {
    let (from, to) = scope.range();
    connection.all(sql, params![limit, moment.as_millis(), from, to], |row| row.get(0))
}

pub(super) const RETRY_DUE: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_due \
    WHERE state = 3 AND due_at <= ?2 AND run BETWEEN ?3 AND ?4 LIMIT ?1";
pub(super) const RETRY_JUMPED: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_due \
    WHERE state = 3 AND due_at > ?2 AND run BETWEEN ?3 AND ?4 LIMIT ?1";
pub(super) const NOTHING_DUE: &str = "UPDATE conductor_tasks SET due_at = NULL WHERE key = ?1";
