//! Make delayed tasks ready that are due.

use super::SqliteStore;
use super::retry::seek;
use super::sql::{ScopeKey, Sql};
use crate::{Step, StepOutcome, StoreError};
use rusqlite::params;

impl SqliteStore {
    pub(super) fn promote_step(&self, step: &Step) -> Result<StepOutcome, StoreError> {
        let something = self.probe(|connection| {
            let scope = ScopeKey::of(step.scope, connection)?;
            Ok(!seek(connection, START_DUE, scope, step.now, 1)?.is_empty())
        })?;
        if !something {
            return Ok(StepOutcome::default());
        }
        let limit = step.limit.max(1);
        self.write(step.now, |write| {
            let (from, to) = ScopeKey::of(step.scope, write.tx())?.range();
            // PENDING they were and PENDING they are: no transition, no event.
            let promoted = write.tx().run(PROMOTE, params![limit, step.now.as_millis(), from, to])?;
            let tasks = u32::try_from(promoted).unwrap_or(u32::MAX);
            Ok(StepOutcome { changed: tasks, more: tasks == limit })
        })
    }
}

macro_rules! start_due {
    () => {
        "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_due \
         WHERE state = 0 AND due_at <= ?2 AND run BETWEEN ?3 AND ?4 LIMIT ?1"
    };
}

pub(super) const START_DUE: &str = start_due!();

pub(super) const PROMOTE: &str =
    concat!("UPDATE conductor_tasks SET due_at = NULL, updated_at = ?2 WHERE key IN (", start_due!(), ")");
