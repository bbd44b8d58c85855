//! Remove runs that have ended, and give their pages back to the file system.

use super::SqliteStore;
use super::sql::{Sql, array, fault};
use super::write::Write;
use crate::{Prune, PruneOutcome, StoreError};
use rusqlite::{Connection, Params, params};

/// How many bytes of wide JSON one transaction removes, about: their pages are read to be freed.
const BYTES_PER_STEP: i64 = 4 << 20;
/// How many pages one transaction gives back: each may have to be moved first.
const PAGES_PER_STEP: u64 = 500;

impl SqliteStore {
    pub(super) fn prune_runs(&self, request: &Prune) -> Result<PruneOutcome, StoreError> {
        let limit = request.limit.max(1);
        if self.probe(|connection| Ok(next_run(connection, request)?.is_some()))? {
            return self.write(request.settled_before, |write| prune(write, request, limit));
        }
        if self.options.embedded || !self.probe(|connection| Ok(free_pages(connection)? > 0))? {
            return Ok(PruneOutcome::default());
        }
        self.write(request.settled_before, |write| give_back(write.tx()))
    }
}

/// A run to prune: one that an earlier transaction took, or else the one that ended first.
fn next_run(connection: &Connection, request: &Prune) -> Result<Option<(i64, bool)>, StoreError> {
    let taken = connection.first(TAKEN, [], |row| Ok((row.get(0)?, true)))?;
    if taken.is_some() {
        return Ok(taken);
    }
    let ended = params![request.settled_before.as_millis()];
    connection.first(ENDED, ended, |row| Ok((row.get(0)?, false)))
}

fn prune(write: &mut Write<'_>, request: &Prune, limit: u32) -> Result<PruneOutcome, StoreError> {
    let mut pruned = PruneOutcome { more: true, ..PruneOutcome::default() };
    let mut room = Room { rows: limit, bytes: BYTES_PER_STEP };
    while !room.is_used_up() {
        // What was freed is given back next.
        let Some((run, is_taken)) = next_run(write.tx(), request)? else { break };
        if !is_taken {
            take(write.tx(), run)?;
        }
        // Also a run without tasks is work.
        room.rows = room.rows.saturating_sub(1);
        if remove(write.tx(), run, &mut room, &mut pruned)? {
            write.tx().run("DELETE FROM conductor_pruned WHERE run = ?1", [run])?;
            pruned.runs += 1;
        }
    }
    Ok(pruned)
}

/// From here on the run is not visible.
fn take(tx: &Connection, run: i64) -> Result<(), StoreError> {
    tx.run("INSERT INTO conductor_pruned (run) VALUES (?1)", [run])?;
    tx.run("DELETE FROM conductor_submissions WHERE run = ?1", [run])?;
    tx.run("DELETE FROM conductor_runs WHERE key = ?1", [run])?;
    Ok(())
}

/// What the transaction may still remove.
struct Room {
    rows: u32,
    bytes: i64,
}

impl Room {
    fn is_used_up(&self) -> bool {
        self.rows == 0 || self.bytes <= 0
    }

    /// The keys of the next rows that a statement names, as far as there is room, and whether these are all.
    fn take(
        &mut self,
        tx: &Connection,
        sql: &str,
        params: impl Params,
    ) -> Result<(Vec<i64>, bool), StoreError> {
        let mut statement = tx.cached(sql)?;
        let mut rows = statement.query(params).map_err(fault)?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next().map_err(fault)? {
            if self.is_used_up() {
                return Ok((keys, false));
            }
            keys.push(row.get(0).map_err(fault)?);
            self.rows -= 1;
            self.bytes -= row.get::<_, i64>(1).map_err(fault)?;
        }
        Ok((keys, true))
    }
}

/// Removes rows of a run that was taken; whether nothing of it is left.
fn remove(tx: &Connection, run: i64, room: &mut Room, pruned: &mut PruneOutcome) -> Result<bool, StoreError> {
    let (tasks, all_tasks) = room.take(tx, TASKS, params![run])?;
    pruned.tasks += count(&tasks);
    if !tasks.is_empty() {
        let tasks = array(tasks);
        tx.run(DELETE_INPUTS, params![tasks])?;
        tx.run(DELETE_PROGRESS, params![run, tasks])?;
        tx.run(DELETE_TASKS, params![tasks])?;
    }
    let (events, all_events) = room.take(tx, EVENTS, params![run])?;
    pruned.events += count(&events);
    if !events.is_empty() {
        tx.run(DELETE_EVENTS, params![array(events)])?;
    }
    let (joins, all_joins) = room.take(tx, JOINS, params![run])?;
    if !joins.is_empty() {
        tx.run(DELETE_JOINS, params![array(joins)])?;
    }
    Ok(all_tasks && all_events && all_joins)
}

fn count(keys: &[i64]) -> u32 {
    u32::try_from(keys.len()).unwrap_or(u32::MAX)
}

/// How many pages of the file hold nothing and can be given back. In a database of the caller's, or in one without
/// incremental vacuum, they are for SQLite to use again.
fn free_pages(connection: &Connection) -> Result<u64, StoreError> {
    if pragma(connection, "PRAGMA auto_vacuum")? != 2 {
        return Ok(0);
    }
    pragma(connection, "PRAGMA freelist_count")
}

fn pragma(connection: &Connection, sql: &str) -> Result<u64, StoreError> {
    let number = connection.first(sql, [], |row| row.get::<_, u32>(0))?;
    Ok(number.map_or(0, u64::from))
}

fn give_back(tx: &Connection) -> Result<PruneOutcome, StoreError> {
    let before = free_pages(tx)?;
    // The statement returns no rows, and gives back a page with each step.
    let sql = format!("PRAGMA incremental_vacuum({PAGES_PER_STEP})");
    let mut statement = tx.cached(&sql)?;
    let mut steps = statement.query([]).map_err(fault)?;
    while steps.next().map_err(fault)?.is_some() {}
    let after = free_pages(tx)?;
    let bytes = before.saturating_sub(after) * pragma(tx, "PRAGMA page_size")?;
    Ok(PruneOutcome { bytes, more: bytes > 0 && after > 0, ..PruneOutcome::default() })
}

pub(super) const TAKEN: &str = "SELECT run FROM conductor_pruned LIMIT 1";

/// What waits for its time is open, though its state may be an end.
pub(super) const ENDED: &str = "SELECT key FROM conductor_runs INDEXED BY conductor_runs_ended \
    WHERE state IN (2, 3, 4) AND pending = 0 AND running = 0 AND updated_at < ?1 \
    AND NOT EXISTS (SELECT 1 FROM conductor_tasks t INDEXED BY conductor_tasks_due_of_run \
        WHERE t.due_at IS NOT NULL AND t.run = conductor_runs.key) \
    ORDER BY updated_at LIMIT 1";

pub(super) const TASKS: &str = "SELECT key, coalesce(octet_length(output), 0) \
    + coalesce((SELECT octet_length(input) FROM conductor_inputs WHERE task = key), 0) \
    FROM conductor_tasks INDEXED BY conductor_tasks_place WHERE run = ?1";
pub(super) const EVENTS: &str = "SELECT seq, coalesce(octet_length(payload), 0) \
    FROM conductor_events INDEXED BY conductor_events_run WHERE run = ?1";
pub(super) const JOINS: &str = "SELECT rowid, 0 FROM conductor_joins WHERE run = ?1";

pub(super) const DELETE_TASKS: &str = "DELETE FROM conductor_tasks WHERE key IN rarray(?1)";
pub(super) const DELETE_PROGRESS: &str =
    "DELETE FROM conductor_progress WHERE run = ?1 AND task IN rarray(?2)";
const DELETE_INPUTS: &str = "DELETE FROM conductor_inputs WHERE task IN rarray(?1)";
pub(super) const DELETE_EVENTS: &str = "DELETE FROM conductor_events WHERE seq IN rarray(?1)";
const DELETE_JOINS: &str = "DELETE FROM conductor_joins WHERE rowid IN rarray(?1)";
