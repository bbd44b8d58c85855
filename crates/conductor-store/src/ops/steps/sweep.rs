//! Cancels what is open below parents and runs that are being cancelled.

use crate::backend::{
    CorruptRow, Node, NodesWanted, ParentKey, ParentRow, ReadParent, RunsWith, TaskGroup, Turn, Work,
};
use crate::ops::rotation::share;
use crate::ops::tx::{
    LeafChange, LeafEvent, Transaction, change_leaves, load_parent, note_corrupt, push_row,
};
use crate::{RotationCursor, Step, StoreError, SweepOutcome};
use conductor_model::{CancelCause, EventBody, JoinStatus, Signal};

/// The largest number of runs that one step visits.
const RUNS_PER_STEP: u32 = 256;

/// How many children are read at once.
const PORTION: u32 = 2_000;
/// The largest number of rows that one step writes, about: siblings in the same condition are one row.
const MAX_ROWS: u32 = 2_000;

/// Gives each run an equal share of the limit.
pub(crate) fn sweep(t: &mut Transaction<'_, '_>, step: &Step) -> Result<SweepOutcome, StoreError> {
    let (mut room, mut rows, mut outcome) = (step.limit.max(1), MAX_ROWS, SweepOutcome::default());
    let turn = Turn {
        with: RunsWith::Sweep(step.scope),
        after: RotationCursor::default(),
        limit: RUNS_PER_STEP.min(room),
    };
    let runs = t.store()?.runs_in_turn(&[turn])?.pop().unwrap_or_default();
    outcome.more = !runs.is_empty();
    for (nth, run) in runs.iter().enumerate() {
        let mut left = share(room, runs.len() - nth);
        let share_of_rows = share(rows, runs.len() - nth).max(1);
        let mut rows_left = share_of_rows;
        for parent in t.store()?.find(&Work::SweepRun(*run), left.min(rows_left))? {
            let Node::Parent(parent) = parent else { continue };
            let visited = sweep_children(t, key_of(&parent), left, &mut rows_left, &mut outcome)?;
            left = left.saturating_sub(visited);
            room = room.saturating_sub(visited);
            if left == 0 || rows_left == 0 {
                break;
            }
        }
        rows = rows.saturating_sub(share_of_rows - rows_left);
    }
    Ok(outcome)
}

fn key_of(parent: &ReadParent) -> ParentKey {
    match parent {
        Ok(row) => row.node.key,
        Err(corrupt) => corrupt.key,
    }
}

/// The open children among those that a sweep has read.
#[derive(Default)]
struct OpenChildren {
    leaves: Vec<TaskGroup>,
    parents: Vec<ParentRow>,
    /// How many children were read, and the largest index of them.
    count: u32,
    last_index: u32,
}

impl OpenChildren {
    /// How many rows they are, in a store where siblings in the same condition share one.
    fn rows(&self) -> u32 {
        u32::try_from(self.leaves.len() + self.parents.len()).unwrap_or(u32::MAX)
    }
}

/// Sweeps the next children of one parent, at most `limit`, until no rows are left; returns how many it visited, at least one.
fn sweep_children(
    t: &mut Transaction<'_, '_>,
    parent: ParentKey,
    limit: u32,
    rows: &mut u32,
    outcome: &mut SweepOutcome,
) -> Result<u32, StoreError> {
    let mut visited = 0;
    loop {
        let portion = PORTION.min(limit.saturating_sub(visited));
        let swept = sweep_portion(t, parent, portion, rows, outcome)?;
        visited += swept;
        if swept < portion || visited >= limit || *rows == 0 {
            return Ok(visited.max(1));
        }
    }
}

/// Sweeps the next children of one parent, at most `limit`; returns how many it read.
fn sweep_portion(
    t: &mut Transaction<'_, '_>,
    parent: ParentKey,
    limit: u32,
    rows: &mut u32,
    outcome: &mut SweepOutcome,
) -> Result<u32, StoreError> {
    // One that cannot be read fails before the commit.
    let Some(row) = load_parent(t, parent)? else { return Ok(0) };
    let children = read_children(t, &row, limit)?;
    // The parent itself, and its join.
    *rows = rows.saturating_sub(children.rows() + 1 + u32::from(row.status.join == JoinStatus::Open));
    let join = match row.status.join {
        JoinStatus::Open => t.store()?.joins(&[parent])?.pop().and_then(|join| join.task),
        _ => None,
    };
    outcome.tasks += children.leaves.iter().map(TaskGroup::len).sum::<u32>();
    let mut indices: Vec<u32> = children
        .leaves
        .iter()
        .flat_map(|group| group.offsets.iter().map(|offset| group.index(offset)))
        .collect();
    for mut child in children.parents {
        if child.status.cancel_cause.is_none() {
            // The event of the sweep says it.
            (child.status.cancel_cause, child.swept) = (Some(CancelCause::Ancestor), 0);
            push_row(t, &child);
            indices.push(child.node.index);
            outcome.parents += 1;
        }
    }
    if !indices.is_empty() {
        let children = ranges(indices);
        let body = match parent.task {
            None => EventBody::RunSwept { children },
            Some(_) => EventBody::TaskSwept { children },
        };
        t.push_parent_event(parent, body);
    }
    for group in &children.leaves {
        let change = LeafChange { event: LeafEvent::None, ..LeafChange::of(Signal::Cancel) };
        change_leaves(t, group, change).map_err(|error| error.in_step(group.block.base))?;
    }
    let swept = if children.count == limit { children.last_index } else { u32::MAX };
    push_row(t, &ParentRow { swept, ..row });
    if let Some(Node::Leaves(join)) = join {
        // Last of all: it decides the parent.
        let cancelled = change_leaves(t, &join, LeafChange::of(Signal::Cancel));
        cancelled.map_err(|error| error.in_step(join.block.base))?;
        outcome.tasks += 1;
    }
    Ok(children.count)
}

fn read_children(
    t: &mut Transaction<'_, '_>,
    row: &ParentRow,
    limit: u32,
) -> Result<OpenChildren, StoreError> {
    let mut children = OpenChildren::default();
    for node in t.store()?.nodes(NodesWanted::Children { parent: row.node.key, after: row.swept, limit })? {
        let last_index = match &node {
            Node::Leaves(group) => {
                children.count += group.len();
                group.offsets.iter().last().map_or(0, |offset| group.index(offset))
            }
            Node::Parent(parent) => {
                children.count += 1;
                match parent {
                    Ok(row) => row.node.index,
                    Err(corrupt) => corrupt.node.as_ref().map_or(0, |node| node.index),
                }
            }
            Node::Corrupt(corrupt) => {
                children.count += 1;
                corrupt.index
            }
        };
        children.last_index = children.last_index.max(last_index);
        match node {
            Node::Leaves(group) if !group.status.is_settled() => children.leaves.push(group),
            Node::Parent(Ok(row)) if !row.node.node_status().is_settled() => children.parents.push(row),
            Node::Parent(Err(corrupt)) => note_corrupt(t, corrupt),
            Node::Corrupt(corrupt) => drop(t.store()?.fail_corrupt(CorruptRow::Task(&corrupt))?),
            Node::Leaves(_) | Node::Parent(Ok(_)) => {}
        }
    }
    children.leaves.sort_by_key(|group| group.status.state);
    Ok(children)
}

/// Indices as ranges.
fn ranges(mut indices: Vec<u32>) -> Vec<(u32, u32)> {
    indices.sort_unstable();
    indices
        .chunk_by(|left, right| left + 1 == *right)
        .map(|range| (range[0], range[range.len() - 1]))
        .collect()
}
