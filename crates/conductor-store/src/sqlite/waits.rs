//! What the unsettled rest of a run waits for.

use super::rows;
use super::sql::{ScopeKey, Sql};
use crate::{RunBlockers, StoreError};
use conductor_model::{Kind, TaskId};
use rusqlite::{Connection, params};
use std::collections::BTreeSet;

pub(super) fn of_run(connection: &Connection, run: i64, limit: u32) -> Result<RunBlockers, StoreError> {
    let outside = connection.all(HELD_FROM_OUTSIDE, params![run, limit], |row| rows::id(row, 0))?;
    let others = connection.first(OTHERS, [run], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let (claimed, open, others) = others.unwrap_or_default();
    Ok(RunBlockers {
        ready: ready_kinds(connection, ScopeKey::Run(run), limit)?,
        external_tasks: outside.into_iter().map(TaskId::from_u128).collect(),
        claimed,
        open,
        other_work: others,
    })
}

/// The kinds of leaves that are ready: a seek for each, and one more for each kind that is ready in other runs only.
pub(super) fn ready_kinds(
    connection: &Connection,
    scope: ScopeKey,
    limit: u32,
) -> Result<Vec<Kind>, StoreError> {
    let (from, to) = scope.range();
    let mut keys = BTreeSet::new();
    for (next, in_scope) in [(NEXT_READY, READY_IN), (NEXT_ALONE, ALONE_IN)] {
        let mut after = 0;
        while keys.len() < limit as usize {
            let Some(kind) = connection.first(next, [after], |row| row.get::<_, i64>(0))? else { break };
            if connection.first(in_scope, params![kind, from, to], |_| Ok(()))?.is_some() {
                keys.insert(kind);
            }
            after = kind;
        }
    }
    let name = |key| {
        let name = connection.first("SELECT name FROM conductor_kinds WHERE key = ?1", [key], |row| {
            rows::text::<Kind>(row, 0)
        })?;
        Ok(name.flatten())
    };
    keys.into_iter().filter_map(|key| name(key).transpose()).collect()
}

macro_rules! ready {
    ($select:literal, $index:literal, $where:literal) => {
        concat!(
            "SELECT ",
            $select,
            " FROM conductor_tasks INDEXED BY ",
            $index,
            " WHERE state = 0 AND due_at IS NULL AND sealed IS NULL AND ",
            $where
        )
    };
}

const NEXT_READY: &str =
    ready!("kind", "conductor_tasks_ready", "coalesce(lost, 0) < 2 AND kind > ?1 ORDER BY kind LIMIT 1");
const NEXT_ALONE: &str =
    ready!("kind", "conductor_tasks_alone", "lost = 2 AND kind > ?1 ORDER BY kind LIMIT 1");
const READY_IN: &str = ready!(
    "1",
    "conductor_tasks_ready",
    "coalesce(lost, 0) < 2 AND kind = ?1 AND run BETWEEN ?2 AND ?3 LIMIT 1"
);
const ALONE_IN: &str =
    ready!("1", "conductor_tasks_alone", "lost = 2 AND kind = ?1 AND run BETWEEN ?2 AND ?3 LIMIT 1");

const HELD_FROM_OUTSIDE: &str = "SELECT id FROM conductor_tasks INDEXED BY conductor_tasks_running \
    WHERE state = 1 AND sealed IS NULL AND lease_until IS NULL AND run = ?1 LIMIT ?2";

/// Claims; open fan-outs; steps that have something to do, what is due later, and the deadline; of one run. The first reads the
/// claims of all runs, at most: as many as run at this moment.
const OTHERS: &str = "SELECT \
    EXISTS (SELECT 1 FROM conductor_tasks INDEXED BY conductor_tasks_running \
        WHERE state = 1 AND sealed IS NULL AND lease_until IS NOT NULL AND run = ?1), \
    EXISTS (SELECT 1 FROM conductor_tasks INDEXED BY conductor_tasks_wants WHERE wants = 2 AND run = ?1) \
    OR EXISTS (SELECT 1 FROM conductor_runs WHERE key = ?1 AND state IN (0, 1) AND sealed = 0 AND mark IS NULL), \
    EXISTS (SELECT 1 FROM conductor_tasks INDEXED BY conductor_tasks_wants WHERE wants IN (1, 3, 4) AND run = ?1) \
    OR EXISTS (SELECT 1 FROM conductor_tasks INDEXED BY conductor_tasks_due_of_run \
        WHERE due_at IS NOT NULL AND run = ?1) \
    OR EXISTS (SELECT 1 FROM conductor_runs WHERE key = ?1 AND state IN (0, 1) \
        AND (wants IS NOT NULL OR (deadline IS NOT NULL AND mark IS NULL)))";
