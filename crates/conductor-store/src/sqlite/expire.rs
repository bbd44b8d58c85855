//! Mark runs whose deadline passed.

use super::SqliteStore;
use super::damage::readable;
use super::ledger::Place;
use super::sql::{ScopeKey, Sql};
use crate::{Step, StepOutcome, StoreError};
use conductor_model::{CancelCause, Decision};
use rusqlite::{Connection, params};

impl SqliteStore {
    pub(super) fn expire_step(&self, step: &Step) -> Result<StepOutcome, StoreError> {
        if !self.probe(|connection| Ok(!over(connection, step, 1)?.is_empty()))? {
            return Ok(StepOutcome::default());
        }
        let limit = step.limit.max(1);
        self.write(step.now, |write| {
            let runs = over(write.tx(), step, limit)?;
            let more = runs.len() == limit as usize;
            let mut expired = 0;
            for run in runs {
                let (tx, ledger, now) = write.parts();
                // One that cannot be read fails before the commit.
                let Some(entry) = readable(ledger.run(tx, run))? else { continue };
                if let Decision::Settle(_) = entry.head.standing.decide() {
                    // It was settled in time; only its deadline must be cleared.
                    entry.deadline = None;
                } else {
                    ledger.mark(tx, Place::child(run, 0), now, CancelCause::Deadline, None)?;
                    expired += 1;
                }
            }
            Ok(StepOutcome { changed: expired, more })
        })
    }
}

/// The runs whose deadline passed.
fn over(connection: &Connection, step: &Step, limit: u32) -> Result<Vec<i64>, StoreError> {
    let (from, to) = ScopeKey::of(step.scope, connection)?.range();
    connection.all(EXPIRED, params![limit, step.now.as_millis(), from, to], |row| row.get(0))
}

pub(super) const EXPIRED: &str = "SELECT key FROM conductor_runs INDEXED BY conductor_runs_deadline \
    WHERE deadline IS NOT NULL AND mark IS NULL AND state IN (0, 1) AND deadline <= ?2 AND key BETWEEN ?3 AND ?4 \
    ORDER BY deadline LIMIT ?1";
