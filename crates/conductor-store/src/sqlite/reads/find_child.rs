//! Finds a child of a parent or a run in some condition, in bounded parts of a few indexes.
//!
//! The first children are searched one by one. Behind them, an open or failed task of the run leads to the child above
//! it. Keys grow with the indices, so that a seek in an index with the key as its last column starts behind those
//! children. Last, it reads the last children. A child elsewhere is not found.

use crate::backend::{ChildWanted, ParentKey, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql, array};
use crate::sqlite::rows::keys::{RowKey, parent_columns};
use crate::sqlite::rows::{conditions::sql, events::code_of};
use rusqlite::{Connection, params};

/// The largest number of ready kinds that are searched in a run, and of pairs of kind and priority there.
const MAX_KINDS: u32 = 100;
const MAX_PRIORITIES: u32 = 30;

/// The statements that search the children of a parent for one in some condition.
pub(crate) struct ChildQueries {
    /// Among the first.
    pub(crate) first: &'static str,
    /// Among some tasks and their ancestors.
    pub(crate) above: &'static str,
    /// Among the last.
    pub(crate) last: &'static str,
}

/// See [`ReadTx::find_child`](crate::backend::ReadTx::find_child).
pub(crate) fn find_child(
    connection: &Connection,
    parent: ParentKey,
    child: ChildWanted,
) -> Result<Option<TaskKey>> {
    let columns = parent_columns(parent);
    let key = match child {
        ChildWanted::Open => {
            search(connection, columns, &OPEN, |after| open_tasks(connection, columns.0, after))
        }
        ChildWanted::Failed => search(connection, columns, &FAILED, |after| {
            connection.all(FAILED_IN, [columns.0, after], |row| row.get(0))
        }),
        ChildWanted::Cancelled => {
            search(connection, columns, &CANCELLED, |_| last_cancelled(connection, columns.0))
        }
        ChildWanted::Join => connection.first(SELECT_JOIN, columns, |row| row.get(0)),
    }?;
    Ok(key.map(TaskKey::of_row))
}

/// Searches the first children, then those above the tasks behind them that `candidates` finds, then the last.
fn search(
    connection: &Connection,
    (run, parent): (i64, i64),
    queries: &ChildQueries,
    candidates: impl FnOnce(i64) -> Result<Vec<i64>>,
) -> Result<Option<i64>> {
    let children = [run, parent];
    let first = connection.first(queries.first, children, |row| row.get(0))?;
    if first.is_some() {
        return Ok(first);
    }
    let Some(after) = connection.first(END_OF_FIRST, children, |row| row.get(0))? else {
        return Ok(None);
    };
    let candidates = array(candidates(after)?);
    let above: Option<Option<i64>> =
        connection.first(queries.above, params![candidates, parent], |row| row.get(0))?;
    match above.flatten() {
        Some(child) => Ok(Some(child)),
        None => Ok(connection.first(queries.last, children, |row| row.get(0))?.flatten()),
    }
}

/// Tasks of a run that were cancelled last: no index of tasks shows them, but a request of a caller left an event.
fn last_cancelled(connection: &Connection, run: i64) -> Result<Vec<i64>> {
    let mut keys = Vec::new();
    for name in ["task.cancelled", "task.cancel_requested"] {
        let params = params![run, code_of(name)];
        keys.extend(connection.all(LAST_CANCELS, params, |row| row.get::<_, i64>(0))?);
    }
    Ok(keys)
}

/// Open tasks of a run behind a key: running, delayed, in need of a step, or ready.
fn open_tasks(connection: &Connection, run: i64, after: i64) -> Result<Vec<i64>> {
    let mut keys = Vec::new();
    for sql in [RUNNING_EXTERNALLY, CLAIMED, DUE] {
        keys.extend(connection.all(sql, [run, after], |row| row.get::<_, i64>(0))?);
    }
    for step in 1..=4 {
        keys.extend(connection.all(WAITING_FOR_STEP, [run, after, step], |row| row.get::<_, i64>(0))?);
    }
    for queries in [&READY, &ISOLATED] {
        ready_tasks(connection, (run, after), queries, &mut keys)?;
    }
    Ok(keys)
}

/// Some of each kind and priority that is ready in a run.
fn ready_tasks(
    connection: &Connection,
    (run, after): (i64, i64),
    queries: &ReadyIndexQueries,
    keys: &mut Vec<i64>,
) -> Result<()> {
    let (mut kind, mut remaining) = (0, MAX_PRIORITIES);
    for _ in 0..MAX_KINDS {
        let Some(next) = connection.first(queries.kind, [kind], |row| row.get(0))? else { break };
        kind = next;
        let mut priority = i64::from(i16::MAX) + 1;
        while remaining > 0 {
            let params = [kind, run, priority];
            let Some(next) = connection.first(queries.priority, params, |row| row.get(0))? else { break };
            priority = next;
            remaining -= 1;
            let params = [kind, run, priority, after];
            keys.extend(connection.all(queries.keys, params, |row| row.get::<_, i64>(0))?);
        }
    }
    Ok(())
}

macro_rules! child_queries {
    ($condition:ident) => {
        ChildQueries {
            first: sql!("SELECT key FROM (SELECT key, state, due_at FROM conductor_tasks \
                INDEXED BY conductor_tasks_place WHERE run = ?1 AND parent = ?2 AND ordinal > 0 \
                ORDER BY ordinal LIMIT 300) WHERE " $condition " LIMIT 1"),
            above: sql!("WITH RECURSIVE above (key, parent, ordinal, state, due_at) AS ( \
                SELECT key, parent, ordinal, state, due_at FROM conductor_tasks WHERE key IN rarray(?1) \
                UNION SELECT p.key, p.parent, p.ordinal, p.state, p.due_at FROM above CROSS JOIN conductor_tasks p \
                ON p.key = above.parent WHERE above.parent <> ?2) \
                SELECT min(key) FROM above WHERE parent = ?2 AND ordinal > 0 AND " $condition),
            last: sql!("SELECT min(key) FROM (SELECT key, state, due_at FROM conductor_tasks \
                INDEXED BY conductor_tasks_place WHERE run = ?1 AND parent = ?2 AND ordinal > 0 \
                ORDER BY ordinal DESC LIMIT 300) WHERE " $condition),
        }
    };
}

pub(crate) const OPEN: ChildQueries = child_queries!(open_task);
pub(crate) const FAILED: ChildQueries = child_queries!(failed_permanently);
pub(crate) const CANCELLED: ChildQueries = child_queries!(cancelled);

const SELECT_JOIN: &str = "SELECT key FROM conductor_tasks WHERE run = ?1 AND parent = ?2 AND ordinal = 0";

/// The last of the first children that are searched; without it there is nothing behind them.
pub(crate) const END_OF_FIRST: &str =
    "SELECT key FROM conductor_tasks WHERE run = ?1 AND parent = ?2 AND ordinal = 300";

pub(crate) const RUNNING_EXTERNALLY: &str = sql!("SELECT key FROM (SELECT key, run FROM conductor_tasks \
    INDEXED BY conductor_tasks_running WHERE " running_externally " LIMIT 300) WHERE run = ?1 AND key > ?2");
pub(crate) const CLAIMED: &str = sql!("SELECT key FROM (SELECT key, run FROM conductor_tasks \
    INDEXED BY conductor_tasks_running WHERE " claimed " LIMIT 300) WHERE run = ?1 AND key > ?2");
pub(crate) const DUE: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_due_of_run \
    WHERE due_at IS NOT NULL AND run = ?1 AND key > ?2 ORDER BY key LIMIT 50";
pub(crate) const WAITING_FOR_STEP: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_wants \
    WHERE wants = ?3 AND run = ?1 AND key > ?2 ORDER BY key LIMIT 50";
pub(crate) const FAILED_IN: &str = sql!("SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_due \
    WHERE " failed_permanently " AND run = ?1 AND key > ?2 ORDER BY key LIMIT 300");
pub(crate) const LAST_CANCELS: &str = sql!("SELECT task \
    FROM " rare_events_of_run " AND name = ?2 ORDER BY seq DESC LIMIT 200");

/// The statements that search an index of ready leaves.
pub(crate) struct ReadyIndexQueries {
    /// The next kind, of any run.
    pub(crate) kind: &'static str,
    /// The next lower priority in a run.
    pub(crate) priority: &'static str,
    /// The first behind a key.
    pub(crate) keys: &'static str,
}

macro_rules! ready_index {
    ($index:literal, $condition:ident) => {
        ReadyIndexQueries {
            kind: sql!("SELECT kind FROM conductor_tasks INDEXED BY " $index " WHERE " $condition " \
                AND kind > ?1 ORDER BY kind LIMIT 1"),
            priority: sql!("SELECT priority FROM conductor_tasks INDEXED BY " $index " WHERE " $condition " \
                AND kind = ?1 AND run = ?2 AND priority < ?3 ORDER BY priority DESC LIMIT 1"),
            keys: sql!("SELECT key FROM conductor_tasks INDEXED BY " $index " WHERE " $condition " \
                AND kind = ?1 AND run = ?2 AND priority = ?3 AND key > ?4 ORDER BY key LIMIT 10"),
        }
    };
}

pub(crate) const READY: ReadyIndexQueries = ready_index!("conductor_tasks_ready", ready);
pub(crate) const ISOLATED: ReadyIndexQueries = ready_index!("conductor_tasks_alone", isolated);
