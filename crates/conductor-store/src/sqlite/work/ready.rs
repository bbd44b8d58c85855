//! Ready leaves, and their ancestors.

use crate::backend::{
    Above, AboveRun, AboveTask, ParentKey, ReadyGroup, ReadyTasks, ReadyWanted, RunKey, TaskKey,
};
use crate::sqlite::connection::sql::{Result, Sql, fault};
use crate::sqlite::rows::block::{self, block_columns};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::conditions::sql;
use crate::sqlite::rows::inputs;
use crate::sqlite::rows::keys::{self, RowKey};
use crate::sqlite::rows::parents::run_id;
use crate::sqlite::rows::range_rows::range_columns;
use crate::sqlite::work::block_rows::{BlockRows, ready_columns, select_with_block};
use crate::sqlite::work::kinds::{KindKeys, known_kind};
use crate::sqlite::work::parent_cache::ParentCache;
use conductor_model::{State, TaskId};
use rusqlite::{Connection, params};
use std::collections::HashSet;

/// Reads the wanted leaves in order, at most `max` in all.
pub(crate) fn take(
    connection: &Connection,
    (cache, kinds): (&mut ParentCache, &mut KindKeys),
    wanted: &[ReadyWanted<'_>],
    max: u32,
) -> Result<ReadyTasks> {
    let mut ready = ReadyTasks::default();
    let mut remaining = max;
    for (wanted_index, wanted) in wanted.iter().enumerate() {
        let limit = wanted.limit.min(remaining);
        if limit > 0
            && let Some(kind) = known_kind(connection, kinds, wanted.kind)?
        {
            remaining -=
                read(connection, (wanted_index, kind), &ReadyWanted { limit, ..*wanted }, &mut ready)?;
        }
    }
    let mut parents: Vec<ParentKey> = ready.groups.iter().map(|(_, ready)| ready.group.parent()).collect();
    parents.dedup();
    ready.above = above(connection, cache, &parents)?;
    let inherits = |ready: &ReadyGroup| ready.inputs.is_empty() || ready.inputs.iter().any(Option::is_none);
    let without_input = ready.groups.iter().filter(|(_, ready)| inherits(ready));
    let mut known = HashSet::new();
    for parent in without_input.map(|(_, ready)| ready.group.parent()) {
        if let Some(task) = parent.task
            && known.insert(task)
        {
            ready.parent_inputs.push((parent, inputs::of_parent(connection, parent.run, task)?));
        }
    }
    Ok(ready)
}

/// Reads ready leaves of one kind; returns how many there were, also of those that another program damaged.
fn read(
    connection: &Connection,
    (wanted_index, kind): (usize, i64),
    wanted: &ReadyWanted<'_>,
    ready: &mut ReadyTasks,
) -> Result<u32> {
    let sql = if wanted.isolated { SELECT_ISOLATED } else { SELECT_READY };
    let mut statement = connection.cached(sql)?;
    let mut rows = statement.query(params![kind, wanted.run.map(RunKey::row)]).map_err(fault)?;
    // The rows of one block follow each other.
    let (mut current, mut count): (Option<BlockRows>, u32) = (None, 0);
    while count < wanted.limit {
        let next = rows.next().map_err(fault)?.map(BlockRows::read_ready).transpose().map_err(fault)?;
        let is_last = next.is_none();
        let whole = match (&mut current, next) {
            (Some(current), Some(next)) if current.number == next.number => {
                current.add(next);
                continue;
            }
            (_, next) => std::mem::replace(&mut current, next),
        };
        if let Some(block) = whole {
            count += take_oldest(connection, block, (wanted_index, wanted.limit - count), ready)?;
        }
        if is_last {
            break;
        }
    }
    Ok(count)
}

/// Takes the oldest leaves of one block, in order; returns how many.
fn take_oldest(
    connection: &Connection,
    block: BlockRows,
    (wanted_index, limit): (usize, u32),
    ready: &mut ReadyTasks,
) -> Result<u32> {
    let (number, has_inputs) = (block.number, block.has_inputs());
    let found = block.oldest_to_claim(connection, limit)?;
    ready.corrupt.extend(found.corrupt.into_iter().map(|task| (wanted_index, task)));
    for group in found.groups {
        let inputs =
            if has_inputs { inputs::of_block(connection, number, &group.offsets)? } else { Vec::new() };
        ready.groups.push((wanted_index, ReadyGroup { group, inputs }));
    }
    Ok(found.count)
}

/// Reads these parents and their ancestors. A missing parent or run is left out.
pub(crate) fn above(
    connection: &Connection,
    cache: &mut ParentCache,
    parents: &[ParentKey],
) -> Result<Above> {
    let mut above = Above::default();
    let (mut runs, mut tasks) = (HashSet::new(), HashSet::new());
    for parent in parents {
        let mut next = Some(*parent);
        while let Some(ParentKey { run, task }) = next {
            if runs.insert(run) {
                above.runs.extend(above_run(connection, cache, run)?);
            }
            next = None;
            if let Some(task) = task
                && tasks.insert(task)
                && let Some(task) = above_task(connection, cache, task)?
            {
                next = Some(task.parent);
                above.tasks.push(task);
            }
        }
    }
    Ok(above)
}

fn above_task(connection: &Connection, cache: &ParentCache, key: TaskKey) -> Result<Option<AboveTask>> {
    // An invalid row is left out.
    let read = connection.first(SELECT_ABOVE, [key.row()], |row| {
        let task = || {
            Ok::<_, rusqlite::Error>(AboveTask {
                key,
                id: TaskId::from_u128(block::base_id(row.get_ref(0)?.as_str()?, row.get(1)?, 0)?),
                parent: keys::parent_key(keys::key(row, 2)?, row, 3)?,
                cancel_cause: columns::cancel_cause(row, 4)?,
            })
        };
        Ok(task().ok())
    })?;
    // A change of this transaction may not be written yet.
    let present = cache.task(key).map(|row| row.status.cancel_cause);
    Ok(read.flatten().map(|task| AboveTask { cancel_cause: present.unwrap_or(task.cancel_cause), ..task }))
}

fn above_run(connection: &Connection, cache: &mut ParentCache, key: RunKey) -> Result<Option<AboveRun>> {
    if let Ok(row) = cache.load(connection, ParentKey::run(key))?
        && let crate::NodeId::Run(id) = row.node.id
    {
        let cancel_cause = row.status.cancel_cause;
        return Ok(Some(AboveRun { key, id, state: row.node.state, cancel_cause }));
    }
    // A run that cannot be read is not being cancelled. It fails when a task of it is counted.
    let sql = "SELECT id FROM conductor_runs WHERE key = ?1";
    let id = connection.first(sql, [key.row()], |row| Ok(run_id(row, 0).ok()))?.flatten();
    Ok(id.map(|id| AboveRun { key, id, state: State::Pending, cancel_cause: None }))
}

/// The first run behind another one with a ready leaf of this kind, or else the first of all.
pub(crate) fn next_run(connection: &Connection, kind: i64, after: i64) -> Result<Option<i64>> {
    Ok(connection.first(NEXT_RUN, params![kind, after], |row| row.get(0))?.flatten())
}

const SELECT_READY: &str = select_with_block!("conductor_ranges_ready", (ready_columns!()),
    "g.kind = ?1 AND " ready " AND g.run = ?2 ORDER BY g.priority DESC, g.block");

const SELECT_ISOLATED: &str = select_with_block!("conductor_ranges_isolated", (ready_columns!()),
    "g.kind = ?1 AND " isolated " AND (?2 IS NULL OR g.run = ?2) ORDER BY g.run, g.priority DESC, g.block");

const NEXT_RUN: &str = sql!("SELECT coalesce( \
    (SELECT run FROM conductor_ranges INDEXED BY conductor_ranges_ready \
        WHERE kind = ?1 AND run > ?2 AND " ready " ORDER BY run LIMIT 1), \
    (SELECT run FROM conductor_ranges INDEXED BY conductor_ranges_ready \
        WHERE ?2 > 0 AND kind = ?1 AND " ready " ORDER BY run LIMIT 1))");

const SELECT_ABOVE: &str = "SELECT b.prefix, b.low, b.run, b.parent, t.cancel_cause FROM conductor_parents t \
    JOIN conductor_blocks b ON b.block = t.task / 1024 WHERE t.task = ?1";
