//! Cancel what is open below something that is marked.

use super::SqliteStore;
use super::damage::readable;
use super::event_log;
use super::ledger::Place;
use super::sql::{ScopeKey, Sql};
use super::task_row::TaskRow;
use super::transit::Brings;
use super::write::Write;
use crate::{Fault, Step, Swept};
use conductor_model::{EventBody, Joining, Mark, Shape, Signal};
use rusqlite::{Connection, params};

impl SqliteStore {
    pub(super) fn sweep_step(&self, step: &Step) -> Result<Swept, Fault> {
        if !self.probe(|connection| {
            Ok(!families(connection, ScopeKey::of(step.scope, connection)?, 1)?.is_empty())
        })? {
            return Ok(Swept::default());
        }
        self.write(step.now, |write| sweep(write, step))
    }
}

/// The families whose heads want to be swept.
fn families(connection: &Connection, scope: ScopeKey, limit: u32) -> Result<Vec<Place>, Fault> {
    let (from, to) = scope.range();
    let mut families =
        connection.all(RUNS_TO_SWEEP, params![limit, from, to], |row| Ok(Place::child(row.get(0)?, 0)))?;
    let rest = limit.saturating_sub(u32::try_from(families.len()).unwrap_or(u32::MAX));
    if rest > 0 {
        families.extend(connection.all(PARENTS_TO_SWEEP, params![rest, from, to], |row| {
            Ok(Place::child(row.get(0)?, row.get(1)?))
        })?);
    }
    Ok(families)
}

fn sweep(write: &mut Write<'_>, step: &Step) -> Result<Swept, Fault> {
    let mut room = step.limit.max(1);
    let mut done = Swept::default();
    for family in families(write.tx(), ScopeKey::of(step.scope, write.tx())?, room)? {
        done.more = true;
        if room == 0 {
            break;
        }
        let looked_at = sweep_family(write, family, room, &mut done)?;
        room = room.saturating_sub(looked_at.max(1));
    }
    Ok(done)
}

/// Sweeps the next children of one family, at most so many; how many it looked at.
fn sweep_family(write: &mut Write<'_>, family: Place, limit: u32, done: &mut Swept) -> Result<u32, Fault> {
    let (tx, ledger, _) = write.parts();
    // One that cannot be read fails before the commit.
    let Some(head) = readable(ledger.head(tx, family))?.copied() else { return Ok(0) };
    let found = TaskRow::children(tx, family, head.swept, limit)?;
    let looked_at = u32::try_from(found.len()).unwrap_or(u32::MAX);
    let swept = match found.last() {
        Some(last) if looked_at == limit => {
            last.as_ref().map_or_else(|unreadable| unreadable.ordinal, |row| row.ordinal)
        }
        _ => u32::MAX,
    };
    let join = match head.standing.joining {
        Joining::Open => readable(TaskRow::join_of(tx, family))?.flatten(),
        _ => None,
    };
    let mut children = Vec::with_capacity(found.len());
    for child in found {
        match child {
            Ok(child) if child.subject().is_settled() => {}
            Ok(child) => children.push(child),
            Err(unreadable) => write.set_aside(unreadable.key, &unreadable.why)?,
        }
    }
    let parents = mark_parents(write, &mut children)?;
    done.parents += u32::try_from(parents.len()).unwrap_or(u32::MAX);
    done.tasks += u32::try_from(children.len()).unwrap_or(u32::MAX);
    let ordinals = children.iter().map(|child| child.ordinal).chain(parents).collect();
    cancel_leaves(write, family, children, ordinals)?;
    let (tx, ledger, _) = write.parts();
    ledger.head(tx, family)?.swept = swept;
    if let Some(mut join) = join {
        // Last of all: it decides the family.
        let cancelled = write.transit(&mut join, Signal::Cancel, Brings::default());
        cancelled.map_err(|error| error.in_step(join.key))?;
        done.tasks += 1;
    }
    Ok(looked_at)
}

/// Takes the parents out of these children, and marks them; their ordinals.
fn mark_parents(write: &mut Write<'_>, children: &mut Vec<TaskRow>) -> Result<Vec<u32>, Fault> {
    let mut marked = Vec::new();
    let (tx, ledger, _) = write.parts();
    for parent in children.iter().filter(|child| child.shape == Shape::Parent) {
        let Some(head) = readable(ledger.parent(tx, parent.key))? else { continue };
        if head.standing.mark.is_none() {
            (head.standing.mark, head.swept) = (Some(Mark::Above), 0);
            marked.push(parent.ordinal);
        }
    }
    children.retain(|child| child.shape == Shape::Leaf);
    Ok(marked)
}

/// Cancels open leaves of one family, and says in one event which children were swept.
fn cancel_leaves(
    write: &mut Write<'_>,
    family: Place,
    mut leaves: Vec<TaskRow>,
    ordinals: Vec<u32>,
) -> Result<(), Fault> {
    if ordinals.is_empty() {
        return Ok(());
    }
    let children = ranges(ordinals);
    let (parent, body) = match family.parent {
        0 => (None, EventBody::RunSwept { children }),
        parent => (Some(parent), EventBody::TaskSwept { children }),
    };
    event_log::record(write.tx(), family.run, parent, write.now, &body)?;
    leaves.sort_by_key(|leaf| leaf.subject().state);
    for alike in leaves.chunk_by_mut(|one, next| one.state == next.state) {
        let before = alike[0].subject();
        write.write_leaves(alike, Signal::Cancel, None)?;
        write.count_leaves(alike, before)?;
    }
    Ok(())
}

/// Ordinals as ranges.
fn ranges(mut ordinals: Vec<u32>) -> Vec<(u32, u32)> {
    ordinals.sort_unstable();
    ordinals.chunk_by(|one, next| one + 1 == *next).map(|range| (range[0], range[range.len() - 1])).collect()
}

pub(super) const RUNS_TO_SWEEP: &str = "SELECT key FROM conductor_runs INDEXED BY conductor_runs_wants \
    WHERE wants = 4 AND key BETWEEN ?2 AND ?3 ORDER BY key LIMIT ?1";

pub(super) const PARENTS_TO_SWEEP: &str = "SELECT run, key FROM conductor_tasks INDEXED BY conductor_tasks_wants \
    WHERE wants = 4 AND run BETWEEN ?2 AND ?3 ORDER BY run, key LIMIT ?1";
