//! Ready leaves, and their ancestors.

use crate::backend::{
    Above, AboveRun, AboveTask, Node, ParentKey, ReadyGroup, ReadyTasks, ReadyWanted, RunKey, TaskKey,
};
use crate::sqlite::connection::sql::{Result, Sql, fault, kind_key};
use crate::sqlite::reads::tasks::parent_input;
use crate::sqlite::rows::keys::{self, RowKey};
use crate::sqlite::rows::tasks::{LEAF_COLUMNS, LeafRow, TIMEOUT, corrupt_task, leaf_columns};
use crate::sqlite::rows::{columns, conditions::sql};
use crate::sqlite::work::parent_cache::ParentCache;
use conductor_model::{Json, RunId, State, TaskId};
use rusqlite::{Connection, Row, params};
use std::collections::HashSet;

/// Reads the wanted leaves in order, at most `max` in all.
pub(crate) fn take(
    connection: &Connection,
    cache: &mut ParentCache,
    wanted: &[ReadyWanted<'_>],
    max: u32,
) -> Result<ReadyTasks> {
    let mut ready = ReadyTasks::default();
    let mut remaining = max;
    for (wanted_index, wanted) in wanted.iter().enumerate() {
        let limit = wanted.limit.min(remaining);
        if limit > 0
            && let Some(kind) = kind_key(connection, wanted.kind.as_str())?
        {
            remaining -= read(connection, wanted_index, kind, &ReadyWanted { limit, ..*wanted }, &mut ready)?;
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
            ready.parent_inputs.push((parent, parent_input(connection, (parent.run, task))?));
        }
    }
    Ok(ready)
}

/// Reads ready leaves of one kind; returns how many there were.
fn read(
    connection: &Connection,
    wanted_index: usize,
    kind: i64,
    wanted: &ReadyWanted<'_>,
    ready: &mut ReadyTasks,
) -> Result<u32> {
    let sql = if wanted.isolated { SELECT_ISOLATED } else { SELECT_READY };
    let mut statement = connection.cached(sql)?;
    let run = wanted.run.map(RunKey::row);
    let mut rows = statement.query(params![kind, run, wanted.limit]).map_err(fault)?;
    let (mut count, mut last, first) = (0, TaskKey::default(), ready.groups.len());
    while let Some(row) = rows.next().map_err(fault)? {
        count += 1;
        let leaf = match LeafRow::read(row).and_then(|leaf| Ok((leaf, row.get::<_, Option<u32>>(TIMEOUT)?).0))
        {
            Ok(leaf) => leaf,
            Err(error) => {
                ready.corrupt.push((wanted_index, corrupt_task(row, error)?));
                continue;
            }
        };
        let input = columns::text::<Json>(row, LEAF_COLUMNS).map_err(|error| error.to_string()).transpose();
        let earlier = ready.groups.get_mut(first..).and_then(<[_]>::last_mut);
        if !earlier.is_some_and(|(_, earlier)| leaf.join(&mut earlier.group, last)) {
            ready.groups.push((wanted_index, ReadyGroup { group: leaf.group(), inputs: Vec::new() }));
        }
        let Some((_, group)) = ready.groups.last_mut() else { continue };
        if input.is_some() || !group.inputs.is_empty() {
            group.inputs.resize(group.group.len() as usize - 1, None);
            group.inputs.push(input);
        }
        last = leaf.key;
    }
    Ok(count)
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
    let task = |row: &Row<'_>| {
        Ok(AboveTask {
            key,
            id: TaskId::from_u128(columns::id(row, 0)?),
            parent: keys::parent_key(keys::key(row, 1)?, row, 2)?,
            cancel_cause: columns::cancel_cause(row, 3)?,
        })
    };
    // An invalid row is left out.
    let read = connection.first(SELECT_ABOVE, [key.row()], |row| {
        Ok::<_, rusqlite::Error>(task(row).map_err(|_: rusqlite::Error| ()).ok())
    })?;
    let read = read.flatten();
    // A change of this transaction may not be written yet.
    let present = cache.task(key).map(|row| row.status.cancel_cause);
    Ok(read.map(|task| AboveTask { cancel_cause: present.unwrap_or(task.cancel_cause), ..task }))
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
    let id = connection.first(sql, [key.row()], |row| Ok(columns::id(row, 0).ok()))?.flatten();
    let state = State::Pending;
    Ok(id.map(|id| AboveRun { key, id: RunId::from_u128(id), state, cancel_cause: None }))
}

/// The parent as a node, with the changes of this transaction.
pub(crate) fn present(cache: &mut ParentCache, node: Node) -> Node {
    match node {
        Node::Parent(Ok(row)) => Node::Parent(Ok(cache.current(row))),
        node => node,
    }
}

/// The next run with a ready leaf of this kind.
pub(crate) fn next_run(connection: &Connection, kind: i64, after: i64) -> Result<Option<i64>> {
    connection.first(NEXT_RUN, params![kind, after], |row| row.get(0))
}

/// Whether an isolated leaf of this kind is ready.
pub(crate) fn has_isolated(connection: &Connection, kind: i64) -> Result<bool> {
    Ok(connection.first(HAS_ISOLATED, [kind], |_| Ok(()))?.is_some())
}

pub(crate) const NEXT_RUN: &str = sql!("SELECT run FROM conductor_tasks INDEXED BY conductor_tasks_ready \
    WHERE kind = ?1 AND run > ?2 AND " ready " ORDER BY run LIMIT 1");

const HAS_ISOLATED: &str = sql!("SELECT 1 FROM conductor_tasks INDEXED BY conductor_tasks_alone \
    WHERE kind = ?1 AND " isolated " LIMIT 1");

pub(crate) const SELECT_READY: &str = sql!("SELECT " (leaf_columns!()) ", i.input \
    FROM conductor_tasks t INDEXED BY conductor_tasks_ready LEFT JOIN conductor_inputs i ON i.task = t.key \
    WHERE t.kind = ?1 AND " ready " AND t.run = ?2 ORDER BY t.priority DESC, t.key LIMIT ?3");

pub(crate) const SELECT_ISOLATED: &str = sql!("SELECT " (leaf_columns!()) ", i.input \
    FROM conductor_tasks t INDEXED BY conductor_tasks_alone LEFT JOIN conductor_inputs i ON i.task = t.key \
    WHERE t.kind = ?1 AND " isolated " AND (?2 IS NULL OR t.run = ?2) \
    ORDER BY t.run, t.priority DESC, t.key LIMIT ?3");

pub(crate) const SELECT_ABOVE: &str = "SELECT id, run, parent, mark FROM conductor_tasks WHERE key = ?1";
