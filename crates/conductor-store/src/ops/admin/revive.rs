//! Makes settled leaves PENDING again. Exactly their ancestors reopen.

use super::subtree::{Last, Subtree};
use crate::backend::{Node, NodesWanted, ParentKey, ParentRow, TaskGroup};
use crate::ops::tx::{
    LeafChange, ParentChange, Transaction, change_leaves, change_parent, corrupt_task, find_task, push_row,
    require_parent,
};
use crate::{NodeId, Revive, ReviveError, ReviveFilter, ReviveOutcome, StoreError};
use conductor_model::{
    Decision, ReopenRejection, Signal, State, TaskId, can_reopen, cancel_in_progress, reopens_by_itself,
};

pub(crate) fn revive(t: &mut Transaction<'_, '_>, request: &Revive) -> Result<ReviveOutcome, ReviveError> {
    match *request {
        Revive::Leaf { task, .. } => revive_one(t, task),
        Revive::All { below, which, cursor, limit, .. } => revive_all(t, below, which, cursor, limit.max(1)),
    }
}

fn revive_one(t: &mut Transaction<'_, '_>, id: TaskId) -> Result<ReviveOutcome, ReviveError> {
    let leaf = match find_task(t, id)?.ok_or(ReviveError::NotFound(NodeId::Task(id)))? {
        Node::Leaves(leaf) => leaf,
        Node::Parent(_) => return Err(ReviveError::IsParent(id)),
        Node::Corrupt(corrupt) => return Err(corrupt_task(corrupt.key, &corrupt.reason).into()),
    };
    let state = leaf.status.state;
    if !leaf.status.is_settled() || state == State::Succeeded {
        return Err(ReviveError::NotRevivable { task: id, state });
    }
    let mut outcome = ReviveOutcome::default();
    revive_leaves(t, &leaf, &mut outcome)?;
    Ok(outcome)
}

/// Revives settled leaves below ancestors that reopen.
fn revive_leaves(
    t: &mut Transaction<'_, '_>,
    group: &TaskGroup,
    outcome: &mut ReviveOutcome,
) -> Result<(), ReviveError> {
    let parent = group.parent();
    let ancestors = ancestors(t, parent)?;
    check_ancestors(&ancestors)?;
    if group.block.position.is_join && !join_can_start(t, parent)? {
        return Err(ReviveError::JoinNotReady(group.id(group.first().unwrap_or(0))));
    }
    for mut ancestor in ancestors {
        reopen(t, &mut ancestor, outcome)?;
    }
    let revived = change_leaves(t, group, LeafChange::of(Signal::Revive));
    revived.map_err(|error| error.in_step(group.block.base))?;
    outcome.tasks += group.len();
    Ok(())
}

/// Reopens a cancelled parent or run by itself, below ancestors that reopen.
fn revive_parent(
    t: &mut Transaction<'_, '_>,
    row: &mut ParentRow,
    outcome: &mut ReviveOutcome,
) -> Result<(), ReviveError> {
    let ancestors = match row.node.above {
        Some(above) => ancestors(t, above)?,
        None => Vec::new(),
    };
    check_ancestors(&ancestors)?;
    for mut ancestor in ancestors {
        reopen(t, &mut ancestor, outcome)?;
    }
    Ok(reopen(t, row, outcome)?)
}

/// The run, and the parents down to this one.
fn ancestors(t: &mut Transaction<'_, '_>, parent: ParentKey) -> Result<Vec<ParentRow>, StoreError> {
    let mut ancestors = vec![require_parent(t, parent)?];
    while let Some(above) = ancestors.last().and_then(|row| row.node.above) {
        ancestors.push(require_parent(t, above)?);
    }
    ancestors.reverse();
    Ok(ancestors)
}

/// Whether all that is above a task can take it back: the run first, then the nearest parent, and up from there.
fn check_ancestors(ancestors: &[ParentRow]) -> Result<(), ReviveError> {
    let (runs, parents): (Vec<&ParentRow>, Vec<&ParentRow>) =
        ancestors.iter().partition(|row| row.node.key.task.is_none());
    for row in runs.into_iter().chain(parents.into_iter().rev()) {
        let id = row.node.id;
        can_reopen(row.node.state, row.status).map_err(|rejection| match rejection {
            ReopenRejection::Succeeded => ReviveError::AncestorSucceeded(id),
            ReopenRejection::JoinRunning => ReviveError::JoinRunning(id),
            ReopenRejection::CancelInProgress => ReviveError::CancelInProgress(id),
        })?;
    }
    Ok(())
}

/// Whether the join of a parent could start as its children are.
fn join_can_start(t: &mut Transaction<'_, '_>, parent: ParentKey) -> Result<bool, StoreError> {
    Ok(require_parent(t, parent)?.status.reopened().decide() == Decision::StartJoin)
}

/// Reopens a parent or a run, if it has settled.
fn reopen(
    t: &mut Transaction<'_, '_>,
    row: &mut ParentRow,
    outcome: &mut ReviveOutcome,
) -> Result<(), StoreError> {
    if !row.node.state.is_terminal() {
        return Ok(());
    }
    let key = row.node.key;
    let reopened = change_parent(t, row, Signal::Reopen, ParentChange::default());
    reopened.map_err(|error| error.in_step_of_parent(key))?;
    // A deadline that passed would cancel it again at once.
    if row.deadline.is_some_and(|deadline| deadline <= t.now) {
        row.deadline = None;
        push_row(t, row);
    }
    outcome.reopened += 1;
    Ok(())
}

fn revive_all(
    t: &mut Transaction<'_, '_>,
    below: NodeId,
    which: ReviveFilter,
    cursor: Option<TaskId>,
    limit: u32,
) -> Result<ReviveOutcome, ReviveError> {
    let subtree = Subtree::find(t, below)?.ok_or(ReviveError::NotFound(below))?;
    let mut outcome = ReviveOutcome::default();
    let mut from = if let Some(id) = cursor {
        let cursor = subtree.position_of(t, id)?.ok_or(ReviveError::NotFound(NodeId::Task(id)))?;
        (cursor.parent.task, cursor.index.saturating_add(1))
    } else {
        revive_root(t, &subtree, which, &mut outcome)?;
        (subtree.root, 0)
    };
    let mut left = limit;
    while left > 0 {
        let nodes = t.store()?.nodes(NodesWanted::From { run: subtree.run, position: from, limit: left })?;
        if nodes.is_empty() {
            outcome.next = None;
            return Ok(outcome);
        }
        for node in nodes {
            let last = Last::of(&node)?;
            outcome.next = Some(last.id);
            if !subtree.contains(t, last.parent)? {
                // Nothing below this parent is in the subtree.
                (from, left) = ((last.parent.task, u32::MAX), left.saturating_sub(1));
                break;
            }
            (from, left) =
                ((last.parent.task, last.index.saturating_add(1)), left.saturating_sub(last.count));
            revive_if_wanted(t, node, which, &mut outcome)?;
        }
    }
    Ok(outcome)
}

/// Revives what was read of a subtree, if it is to be revived for its own sake; or skips it.
fn revive_if_wanted(
    t: &mut Transaction<'_, '_>,
    node: Node,
    which: ReviveFilter,
    outcome: &mut ReviveOutcome,
) -> Result<(), ReviveError> {
    match node {
        Node::Leaves(group) if is_wanted(t, &group, which)? => {
            let result = revive_leaves(t, &group, outcome);
            skip_rejected(result, group.len(), outcome)
        }
        Node::Parent(row) => {
            let key = row.map_or_else(|corrupt| corrupt.key, |row| row.node.key);
            // What was revived before may have reopened it.
            let mut row = require_parent(t, key)?;
            if !reopens(&row, which) {
                return Ok(());
            }
            let result = revive_parent(t, &mut row, outcome);
            skip_rejected(result, 1, outcome)
        }
        Node::Leaves(_) | Node::Corrupt(_) => Ok(()),
    }
}

fn skip_rejected(
    result: Result<(), ReviveError>,
    count: u32,
    outcome: &mut ReviveOutcome,
) -> Result<(), ReviveError> {
    match result {
        Err(ReviveError::Store(error)) => Err(error.into()),
        Err(_) => {
            outcome.skipped += count;
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Whether leaves are to be revived for their own sake.
fn is_wanted(
    t: &mut Transaction<'_, '_>,
    group: &TaskGroup,
    which: ReviveFilter,
) -> Result<bool, StoreError> {
    if !group.status.is_settled() || !which.includes(group.status.state) {
        return Ok(false);
    }
    if !group.block.position.is_join {
        return Ok(true);
    }
    // A join starts by itself when its siblings are settled again. So only a join without failed siblings is revived
    // here: while it is open, no sibling could be revived.
    let status = require_parent(t, group.parent())?.status;
    let has_failed = status.counts.failed > 0 && which.includes(State::Failed);
    Ok(status.reopened().decide() == Decision::StartJoin && !has_failed)
}

fn reopens(row: &ParentRow, which: ReviveFilter) -> bool {
    which.includes(State::Cancelled) && reopens_by_itself(row.node.state, row.status)
}

/// Lets the root of a subtree go on by itself, or skips it: while it is being cancelled, what the sweep has not reached
/// would be passed over without notice.
fn revive_root(
    t: &mut Transaction<'_, '_>,
    subtree: &Subtree,
    which: ReviveFilter,
    outcome: &mut ReviveOutcome,
) -> Result<(), ReviveError> {
    if let Some(leaf) = subtree.leaf {
        return revive_if_wanted(t, Node::Leaves(leaf), which, outcome);
    }
    let key = ParentKey { run: subtree.run, task: subtree.root };
    let mut row = require_parent(t, key)?;
    if which.includes(State::Cancelled) && cancel_in_progress(row.node.state, row.status) {
        outcome.skipped += 1;
        return Ok(());
    }
    if !reopens(&row, which) {
        return Ok(());
    }
    if key.task.is_none() {
        return Ok(reopen(t, &mut row, outcome)?);
    }
    let result = revive_parent(t, &mut row, outcome);
    skip_rejected(result, 1, outcome)
}
