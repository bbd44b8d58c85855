//! SQL of prunes: removes the blocks of runs, and all that belongs to their tasks.

use super::reclaim::free_pages;
use crate::backend::{OffsetSet, PrunableRun, PruneBudget, PruneWork, Pruned, RunKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block::{clamp_count, task_key};
use crate::sqlite::rows::conditions::sql;
use crate::sqlite::rows::keys::RowKey;
use conductor_model::Timestamp;
use rusqlite::{Connection, Row, params};

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
    let queued = tx.run("INSERT INTO conductor_prune_queue (run) VALUES (?1)", [run])?;
    tx.run("DELETE FROM conductor_submissions WHERE run = ?1", [run])?;
    tx.run("DELETE FROM conductor_runs WHERE key = ?1", [run])?;
    Ok(queued)
}

/// What a row of blocks or events costs of the budget, besides 1 for each task or event: most of the time is for the statements.
const COST_OF_BLOCK: u32 = 15;
const COST_OF_EVENTS: u32 = 4;

/// Removes rows of a run that is not visible.
pub(crate) fn rows(tx: &Connection, run: RunKey, budget: &mut PruneBudget) -> Result<Pruned> {
    let run = run.row();
    let mut pruned = Pruned::default();
    while !budget.is_used_up() {
        // Nothing else of a block is needed, which another program may have damaged.
        let block = tx.first(NEXT_BLOCK, [run], |row| Ok((row.get(0)?, clamp_count(row.get(1)?))))?;
        let Some(block) = block else { break };
        pruned.tasks += remove_tasks(tx, block, budget)?;
    }
    while !budget.is_used_up() {
        let event = tx.first(NEXT_EVENT, [run], |row| Ok((row.get(0)?, event_count(row)?, row.get(2)?)))?;
        let Some((key, count, bytes)): Option<(i64, u32, i64)> = event else { break };
        let removed = count.min(budget.rows);
        if removed == count {
            tx.run("DELETE FROM conductor_events WHERE key = ?1", [key])?;
        } else {
            tx.run("UPDATE conductor_events SET count = count - ?2 WHERE key = ?1", params![key, removed])?;
        }
        pruned.events += removed;
        budget.spend(removed + COST_OF_EVENTS, bytes);
    }
    if !budget.is_used_up() {
        let joins = tx.run(DELETE_JOINS, params![run, budget.rows])?;
        if joins > 0 {
            budget.spend(u32::try_from(joins).unwrap_or(u32::MAX), 0);
        }
    }
    if !budget.is_used_up() {
        tx.run("DELETE FROM conductor_progress WHERE run = ?1", [run])?;
        tx.run("DELETE FROM conductor_prune_queue WHERE run = ?1", [run])?;
        pruned.is_complete = true;
    }
    Ok(pruned)
}

/// How many events a row has. Another program may have changed the number: then the row goes at once.
fn event_count(row: &Row<'_>) -> rusqlite::Result<u32> {
    let count: i64 = row.get(1)?;
    Ok(u32::try_from(count).ok().filter(|count| (1..=u32::from(OffsetSet::MAX)).contains(count)).unwrap_or(1))
}

/// Removes the last tasks of a block: as many as the budget allows. Returns how many.
fn remove_tasks(tx: &Connection, (number, count): (i64, u16), budget: &mut PruneBudget) -> Result<u32> {
    let last = task_key(number, OffsetSet::MAX - 1).row();
    let bytes_of = |removed: u16| -> Result<i64> {
        let keys = [task_key(number, count - removed).row(), last];
        Ok(tx.first(BYTES, keys, |row| row.get(0))?.unwrap_or_default())
    };
    let mut removed = u16::try_from(budget.rows).unwrap_or(u16::MAX).min(count);
    let mut bytes = bytes_of(removed)?;
    while removed > 1 && bytes > budget.bytes {
        removed /= 2;
        bytes = bytes_of(removed)?;
    }
    let keys = [task_key(number, count - removed).row(), last];
    for sql in [DELETE_ENDED, DELETE_OUTPUTS, DELETE_ERRORS, DELETE_INPUTS, DELETE_PARENTS] {
        tx.run(sql, keys)?;
    }
    if removed == count {
        tx.run("DELETE FROM conductor_ranges WHERE block = ?1", [number])?;
        tx.run("DELETE FROM conductor_blocks WHERE block = ?1", [number])?;
    } else {
        let left = count - removed;
        tx.run("UPDATE conductor_blocks SET count = ?2 WHERE block = ?1", params![number, left])?;
    }
    budget.spend(u32::from(removed) + COST_OF_BLOCK, bytes);
    Ok(u32::from(removed))
}

const NEXT_PRUNING: &str = "SELECT run FROM conductor_prune_queue LIMIT 1";

/// A run with a task that waits for its retry is open, though its state may be final.
const NEXT_SETTLED: &str = sql!("SELECT key FROM conductor_runs r INDEXED BY conductor_runs_settled \
    WHERE " settled_run " AND pending = 0 AND running = 0 AND updated_at < ?1 \
    AND NOT EXISTS (SELECT 1 FROM conductor_ranges g INDEXED BY conductor_ranges_due_of_run \
        WHERE g.due_at IS NOT NULL AND g.run = r.key) \
    ORDER BY updated_at LIMIT 1");

const NEXT_BLOCK: &str = "SELECT block, count FROM conductor_blocks INDEXED BY conductor_blocks_position \
    WHERE run = ?1 LIMIT 1";

const NEXT_EVENT: &str = "SELECT key, count, coalesce(octet_length(payload), 0) + coalesce(octet_length(tasks), 0) \
    FROM conductor_events INDEXED BY conductor_events_run WHERE run = ?1 LIMIT 1";

/// ?1 and ?2: the first and the last key. An input counts with the first task that shares its row.
const BYTES: &str = "SELECT (SELECT coalesce(sum(octet_length(output)), 0) FROM conductor_ended WHERE task BETWEEN ?1 AND ?2) \
    + (SELECT coalesce(sum(octet_length(output)), 0) FROM conductor_outputs WHERE task BETWEEN ?1 AND ?2) \
    + (SELECT coalesce(sum(octet_length(inputs)), 0) FROM conductor_inputs WHERE task BETWEEN ?1 AND ?2) \
    + (SELECT coalesce(sum(octet_length(output)), 0) FROM conductor_parents WHERE task BETWEEN ?1 AND ?2) \
    + (SELECT coalesce(sum(octet_length(error)), 0) FROM conductor_errors WHERE task BETWEEN ?1 AND ?2)";

const DELETE_JOINS: &str = "DELETE FROM conductor_joins WHERE rowid IN \
    (SELECT rowid FROM conductor_joins WHERE run = ?1 LIMIT ?2)";

const DELETE_ENDED: &str = "DELETE FROM conductor_ended WHERE task BETWEEN ?1 AND ?2";
const DELETE_OUTPUTS: &str = "DELETE FROM conductor_outputs WHERE task BETWEEN ?1 AND ?2";
const DELETE_ERRORS: &str = "DELETE FROM conductor_errors WHERE task BETWEEN ?1 AND ?2";
const DELETE_INPUTS: &str = "DELETE FROM conductor_inputs WHERE task BETWEEN ?1 AND ?2";
const DELETE_PARENTS: &str = "DELETE FROM conductor_parents WHERE task BETWEEN ?1 AND ?2";
