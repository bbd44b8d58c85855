//! Make delayed tasks ready that are due.

use super::SqliteStore;
use super::retry::seek;
use super::sql::{ScopeKey, Sql};
use crate::{Fault, Promoted, Step};
use rusqlite::{Connection, params};

impl SqliteStore {
    pub(super) fn promote_step(&self, step: &Step) -> Result<Promoted, Fault> {
        if !self.probe(|connection| Ok(!due(connection, step, 1)?.is_empty()))? {
            return Ok(Promoted::default());
        }
        let limit = step.limit.max(1);
        self.write(step.now, |write| {
            let due = due(write.tx(), step, limit)?;
            let tasks = u32::try_from(due.len()).unwrap_or(u32::MAX);
            for key in due {
                // PENDING it was and PENDING it is: no transition, no event.
                write.tx().run(PROMOTE, params![key, step.now.as_millis()])?;
            }
            Ok(Promoted { tasks, more: tasks == limit })
        })
    }
}

fn due(connection: &Connection, step: &Step, limit: u32) -> Result<Vec<i64>, Fault> {
    let scope = ScopeKey::of(step.scope, connection)?;
    seek(connection, START_DUE, scope, step.now, limit)
}

pub(super) const START_DUE: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_due \
    WHERE state = 0 AND due_at <= ?2 AND run BETWEEN ?3 AND ?4 LIMIT ?1";

pub(super) const PROMOTE: &str = "UPDATE conductor_tasks SET due_at = NULL, updated_at = ?2 WHERE key = ?1";
