//! SQL of prunes: removes the rows of runs, and gives their pages back to the file system.

use crate::backend::{PrunableRun, PruneBudget, PruneWork, Pruned, RunKey};
use crate::sqlite::connection::sql::{Result, Sql, array, fault};
use crate::sqlite::rows::{conditions::sql, keys::RowKey};
use conductor_model::Timestamp;
use rusqlite::{Connection, Params, params};

/// The number of pages that one transaction gives back. SQLite may have to move each first.
const PAGES_PER_STEP: u64 = 500;

/// Returns a run to prune; without one, whether pages can be given back. In a database of the caller, SQLite uses them again.
pub(crate) fn work(
    connection: &Connection,
    settled_before: Timestamp,
    is_embedded: bool,
) -> Result<PruneWork> {
    let run = |key: i64, has_begun| Some(PrunableRun { key: RunKey::of_row(key), has_begun });
    if let Some(key) = connection.first(NEXT_PRUNING, [], |row| row.get(0))? {
        return Ok(PruneWork { run: run(key, true), has_free_space: false });
    }
    if let Some(key) = connection.first(NEXT_SETTLED, [settled_before.as_millis()], |row| row.get(0))? {
        return Ok(PruneWork { run: run(key, false), has_free_space: false });
    }
    Ok(PruneWork { run: None, has_free_space: !is_embedded && free_pages(connection)? > 0 })
}

/// Makes a run invisible.
pub(crate) fn begin(tx: &Connection, run: RunKey) -> Result<usize> {
    let run = run.row();
    let queued = tx.run("INSERT INTO conductor_pruned (run) VALUES (?1)", [run])?;
    tx.run("DELETE FROM conductor_submissions WHERE run = ?1", [run])?;
    tx.run("DELETE FROM conductor_runs WHERE key = ?1", [run])?;
    Ok(queued)
}

/// Removes rows of a run that is not visible.
pub(crate) fn rows(tx: &Connection, run: RunKey, budget: &mut PruneBudget) -> Result<Pruned> {
    let run = run.row();
    let (tasks, all_tasks) = take(tx, TASKS, params![run], budget)?;
    let mut pruned = Pruned { tasks: count(&tasks), ..Pruned::default() };
    if !tasks.is_empty() {
        let tasks = array(tasks);
        tx.run(DELETE_INPUTS, params![tasks])?;
        tx.run(DELETE_PROGRESS, params![run, tasks])?;
        tx.run(DELETE_TASKS, params![tasks])?;
    }
    let (events, all_events) = take(tx, EVENTS, params![run], budget)?;
    pruned.events = count(&events);
    if !events.is_empty() {
        tx.run(DELETE_EVENTS, params![array(events)])?;
    }
    let (joins, all_joins) = take(tx, JOINS, params![run], budget)?;
    if !joins.is_empty() {
        tx.run(DELETE_JOINS, params![array(joins)])?;
    }
    pruned.is_complete = all_tasks && all_events && all_joins;
    if pruned.is_complete {
        tx.run("DELETE FROM conductor_pruned WHERE run = ?1", [run])?;
    }
    Ok(pruned)
}

/// Reads the keys of the next rows within the budget, and whether these are all.
fn take(
    tx: &Connection,
    sql: &str,
    params: impl Params,
    budget: &mut PruneBudget,
) -> Result<(Vec<i64>, bool)> {
    let mut statement = tx.cached(sql)?;
    let mut rows = statement.query(params).map_err(fault)?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        if budget.is_used_up() {
            return Ok((keys, false));
        }
        keys.push(row.get(0).map_err(fault)?);
        budget.spend(row.get(1).map_err(fault)?);
    }
    Ok((keys, true))
}

fn count(keys: &[i64]) -> u32 {
    u32::try_from(keys.len()).unwrap_or(u32::MAX)
}

/// Gives free pages back to the file system.
pub(crate) fn reclaim(tx: &Connection) -> Result<Pruned> {
    let before = free_pages(tx)?;
    // The statement returns no rows, and gives back a page with each step.
    let sql = format!("PRAGMA incremental_vacuum({PAGES_PER_STEP})");
    let mut statement = tx.cached(&sql)?;
    let mut steps = statement.query([]).map_err(fault)?;
    while steps.next().map_err(fault)?.is_some() {}
    let after = free_pages(tx)?;
    let bytes = before.saturating_sub(after) * pragma(tx, "PRAGMA page_size")?;
    Ok(Pruned { bytes, is_complete: after == 0, ..Pruned::default() })
}

/// The number of free pages that can be given back to the file system: 0 without incremental vacuum.
pub(crate) fn free_pages(connection: &Connection) -> Result<u64> {
    if pragma(connection, "PRAGMA auto_vacuum")? != 2 {
        return Ok(0);
    }
    pragma(connection, "PRAGMA freelist_count")
}

fn pragma(connection: &Connection, sql: &str) -> Result<u64> {
    let number = connection.first(sql, [], |row| row.get::<_, u32>(0))?;
    Ok(number.map_or(0, u64::from))
}

pub(crate) const NEXT_PRUNING: &str = "SELECT run FROM conductor_pruned LIMIT 1";

/// A run with a delayed task is open, though its state may be final.
pub(crate) const NEXT_SETTLED: &str = sql!("SELECT key FROM conductor_runs INDEXED BY conductor_runs_ended \
    WHERE " settled_run " AND pending = 0 AND running = 0 AND updated_at < ?1 \
    AND NOT EXISTS (SELECT 1 FROM conductor_tasks t INDEXED BY conductor_tasks_due_of_run \
        WHERE t.due_at IS NOT NULL AND t.run = conductor_runs.key) \
    ORDER BY updated_at LIMIT 1");

pub(crate) const TASKS: &str = "SELECT key, coalesce(octet_length(output), 0) \
    + coalesce((SELECT octet_length(input) FROM conductor_inputs WHERE task = key), 0) \
    FROM conductor_tasks INDEXED BY conductor_tasks_place WHERE run = ?1";
pub(crate) const EVENTS: &str = "SELECT seq, coalesce(octet_length(payload), 0) \
    FROM conductor_events INDEXED BY conductor_events_run WHERE run = ?1";
pub(crate) const JOINS: &str = "SELECT rowid, 0 FROM conductor_joins WHERE run = ?1";

pub(crate) const DELETE_TASKS: &str = "DELETE FROM conductor_tasks WHERE key IN rarray(?1)";
pub(crate) const DELETE_PROGRESS: &str =
    "DELETE FROM conductor_progress WHERE run = ?1 AND task IN rarray(?2)";
const DELETE_INPUTS: &str = "DELETE FROM conductor_inputs WHERE task IN rarray(?1)";
pub(crate) const DELETE_EVENTS: &str = "DELETE FROM conductor_events WHERE seq IN rarray(?1)";
const DELETE_JOINS: &str = "DELETE FROM conductor_joins WHERE rowid IN rarray(?1)";
