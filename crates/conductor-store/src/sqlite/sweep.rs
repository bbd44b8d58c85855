//! Cancel what is open below something that is marked.

use super::SqliteStore;
use super::damage::readable;
use super::event_log;
use super::ledger::Place;
use super::sql::{ScopeKey, Sql};
use super::task_row::TaskRow;
use super::transit::Brings;
use super::turns::{runs_in_turn, share};
use super::write::Write;
use crate::{RotationCursor, Step, StoreError, SweepOutcome};
use conductor_model::{CancelCause, EventBody, JoinStatus, NodeType, Signal};
use rusqlite::{Connection, params};

/// How many runs one step visits at most: each costs a few seeks.
const RUNS_PER_STEP: u32 = 256;

impl SqliteStore {
    pub(super) fn sweep_step(&self, step: &Step) -> Result<SweepOutcome, StoreError> {
        if !self.probe(|connection| {
            Ok(next_run(connection, ScopeKey::of(step.scope, connection)?, 0)?.is_some())
        })? {
            return Ok(SweepOutcome::default());
        }
        self.write(step.now, |write| sweep(write, step))
    }
}

/// The next run behind a given one that needs a sweep.
fn next_run(connection: &Connection, scope: ScopeKey, after: i64) -> Result<Option<i64>, StoreError> {
    let (from, to) = scope.range();
    let params = params![from.max(after.saturating_add(1)), to];
    Ok(connection.first(NEXT_RUN, params, |row| row.get(0))?.flatten())
}

/// The parents of a run whose children need a sweep.
fn families(connection: &Connection, run: i64, limit: u32) -> Result<Vec<Place>, StoreError> {
    connection.all(FAMILIES_TO_SWEEP, params![run, limit], |row| Ok(Place::child(run, row.get(0)?)))
}

/// Gives each run an equal share of the limit.
fn sweep(write: &mut Write<'_>, step: &Step) -> Result<SweepOutcome, StoreError> {
    let (mut room, mut done) = (step.limit.max(1), SweepOutcome::default());
    let scope = ScopeKey::of(step.scope, write.tx())?;
    let most = RUNS_PER_STEP.min(room) as usize;
    let runs = runs_in_turn(RotationCursor::default(), most, |after| next_run(write.tx(), scope, after))?;
    done.more = !runs.is_empty();
    for (nth, run) in runs.iter().enumerate() {
        let mut left = share(room, runs.len() - nth);
        for family in families(write.tx(), *run, left)? {
            if left == 0 {
                break;
            }
            let looked_at = sweep_family(write, family, left, &mut done)?.max(1);
            left = left.saturating_sub(looked_at);
            room = room.saturating_sub(looked_at);
        }
    }
    Ok(done)
}

/// Sweeps the next children of one family, at most so many; how many it looked at.
fn sweep_family(
    write: &mut Write<'_>,
    family: Place,
    limit: u32,
    done: &mut SweepOutcome,
) -> Result<u32, StoreError> {
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
    let join = match head.standing.join {
        JoinStatus::Open => readable(TaskRow::join_of(tx, family))?.flatten(),
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
fn mark_parents(write: &mut Write<'_>, children: &mut Vec<TaskRow>) -> Result<Vec<u32>, StoreError> {
    let mut marked = Vec::new();
    let (tx, ledger, _) = write.parts();
    for parent in children.iter().filter(|child| child.shape == NodeType::Parent) {
        let Some(head) = readable(ledger.parent(tx, parent.key))? else { continue };
        if head.standing.cancel_cause.is_none() {
            (head.standing.cancel_cause, head.swept) = (Some(CancelCause::Ancestor), 0);
            marked.push(parent.ordinal);
        }
    }
    children.retain(|child| child.shape == NodeType::Leaf);
    Ok(marked)
}

/// Cancels open leaves of one family, and says in one event which children were swept.
fn cancel_leaves(
    write: &mut Write<'_>,
    family: Place,
    mut leaves: Vec<TaskRow>,
    ordinals: Vec<u32>,
) -> Result<(), StoreError> {
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

pub(super) const NEXT_RUN: &str = "SELECT min(run) FROM ( \
        SELECT min(key) AS run FROM conductor_runs INDEXED BY conductor_runs_wants \
            WHERE wants = 4 AND key BETWEEN ?1 AND ?2 \
        UNION ALL SELECT min(run) FROM conductor_tasks INDEXED BY conductor_tasks_wants \
            WHERE wants = 4 AND run BETWEEN ?1 AND ?2)";

/// By the key of the parent, which is 0 for the family of the run.
pub(super) const FAMILIES_TO_SWEEP: &str = "SELECT 0 FROM conductor_runs INDEXED BY conductor_runs_wants \
        WHERE wants = 4 AND key = ?1 \
    UNION ALL SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_wants \
        WHERE wants = 4 AND run = ?1 LIMIT ?2";
