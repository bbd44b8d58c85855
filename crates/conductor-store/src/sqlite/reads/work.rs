//! Ready kinds, the next due time, and the blockers of a run.

use super::claims::with_blocks;
use crate::RunBlockers;
use crate::backend::RunKey;
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block::block_columns;
use crate::sqlite::rows::conditions::sql;
use crate::sqlite::rows::range_rows::range_columns;
use crate::sqlite::rows::scope::ScopeKey;
use crate::sqlite::rows::{columns, keys::RowKey};
use conductor_model::{Kind, Timestamp};
use rusqlite::{Connection, params};
use std::collections::BTreeSet;

/// The earliest due time, lease end or deadline.
pub(crate) fn next_due(connection: &Connection) -> Result<Option<Timestamp>> {
    Ok(connection.first(NEXT_DUE, [], |row| columns::readable_due_at(row, 0))?.flatten())
}

/// See [`ReadTx::blockers`](crate::backend::ReadTx::blockers).
pub(crate) fn blockers(connection: &Connection, run: Option<RunKey>, limit: u32) -> Result<RunBlockers> {
    let ready = ready_kinds(connection, run, limit)?;
    let Some(run) = run else { return Ok(RunBlockers { ready, ..RunBlockers::default() }) };
    let key = run.row();
    let rows = with_blocks(connection, EXTERNAL_TASKS, params![key, limit])?;
    let external =
        rows.into_iter().flat_map(|(row, block)| row.set.iter().map(move |offset| block.id(offset)));
    let external_tasks = external.take(limit as usize).collect();
    let others = connection.first(OTHERS, [key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let (claimed, open, other_work) = others.unwrap_or_default();
    Ok(RunBlockers { ready, external_tasks, claimed, open, other_work })
}

/// The kinds that are ready: a seek for each kind, and one more for each kind that is ready in other runs only.
fn ready_kinds(connection: &Connection, run: Option<RunKey>, limit: u32) -> Result<Vec<Kind>> {
    let (from, to) = run.map_or(ScopeKey::All, |run| ScopeKey::Run(run.row())).range();
    let mut keys = BTreeSet::new();
    for (next, in_scope) in [(NEXT_READY, READY_IN), (NEXT_ISOLATED, ISOLATED_IN)] {
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
            columns::text::<Kind>(row, 0)
        })?;
        Ok(name.flatten())
    };
    keys.into_iter().filter_map(|key| name(key).transpose()).collect()
}

const NEXT_READY: &str = sql!("SELECT kind FROM conductor_ranges INDEXED BY conductor_ranges_ready \
    WHERE " ready " AND kind > ?1 ORDER BY kind LIMIT 1");
const NEXT_ISOLATED: &str = sql!("SELECT kind FROM conductor_ranges INDEXED BY conductor_ranges_isolated \
    WHERE " isolated " AND kind > ?1 ORDER BY kind LIMIT 1");
const READY_IN: &str = sql!("SELECT 1 FROM conductor_ranges INDEXED BY conductor_ranges_ready \
    WHERE " ready " AND kind = ?1 AND run BETWEEN ?2 AND ?3 LIMIT 1");
const ISOLATED_IN: &str = sql!("SELECT 1 FROM conductor_ranges INDEXED BY conductor_ranges_isolated \
    WHERE " isolated " AND kind = ?1 AND run BETWEEN ?2 AND ?3 LIMIT 1");

const NEXT_DUE: &str = sql!("SELECT min(at) FROM ( \
    SELECT min(due_at) AS at FROM conductor_ranges INDEXED BY conductor_ranges_due WHERE " delayed " \
    UNION ALL \
    SELECT min(due_at) FROM conductor_ranges INDEXED BY conductor_ranges_due WHERE " retry_due " \
    UNION ALL \
    SELECT min(due_at) FROM conductor_parents INDEXED BY conductor_parents_due WHERE due_at IS NOT NULL \
    UNION ALL \
    SELECT min(lease_until) FROM conductor_ranges INDEXED BY conductor_ranges_running WHERE " claimed " \
    UNION ALL \
    SELECT min(deadline) FROM conductor_runs INDEXED BY conductor_runs_deadline WHERE " run_with_deadline ")");

const EXTERNAL_TASKS: &str = sql!("SELECT " (range_columns!()) ", " (block_columns!())
    " FROM conductor_ranges g INDEXED BY conductor_ranges_running JOIN conductor_blocks b ON b.block = g.block \
    WHERE " running_externally " AND g.run = ?1 LIMIT ?2");

/// Claims; open fan-outs; steps that have something to do, what is due later, and the deadline; of one run. The first reads the
/// claims of all runs, at most.
const OTHERS: &str = sql!("SELECT \
    EXISTS (SELECT 1 FROM conductor_ranges INDEXED BY conductor_ranges_running WHERE " claimed " AND run = ?1), \
    EXISTS (SELECT 1 FROM conductor_parents INDEXED BY conductor_parents_next_step \
        WHERE " needs_append " AND run = ?1) \
    OR EXISTS (SELECT 1 FROM conductor_runs \
        WHERE key = ?1 AND " open_run " AND sealed = 0 AND cancel_cause IS NULL), \
    EXISTS (SELECT 1 FROM conductor_parents INDEXED BY conductor_parents_next_step \
        WHERE " needs_step " AND run = ?1) \
    OR EXISTS (SELECT 1 FROM conductor_ranges INDEXED BY conductor_ranges_due_of_run \
        WHERE due_at IS NOT NULL AND run = ?1) \
    OR EXISTS (SELECT 1 FROM conductor_parents INDEXED BY conductor_parents_due WHERE due_at IS NOT NULL AND run = ?1) \
    OR EXISTS (SELECT 1 FROM conductor_runs WHERE key = ?1 AND " open_run " \
        AND (next_step IS NOT NULL OR (deadline IS NOT NULL AND cancel_cause IS NULL)))");
