//! Fails what another program damaged, so that it stops no step and no caller waits for it.
//!
//! A task goes through its states by its own row. It is counted where the counts can be read, and nowhere else. A parent
//! or a run whose counts cannot be read fails once, in the transaction that met it.

use super::leaves::{LeafChange, change_leaves, fail_leaf};
use super::load::load_parents;
use super::parents::{ParentChange, change_parent};
use super::transaction::{CHANGED_NUMBERS, Transaction, TransitionError};
use crate::StoreError;
use crate::backend::{
    CorruptParent, CorruptRow, CorruptTask, NewEvent, ParentRow, RunKey, TaskGroup, TaskKey,
};
use conductor_model::{AttemptFailure, Jitter, NodeType, Signal, State, transition_event};

/// Fails one leaf permanently, by legal transitions.
pub(crate) fn fail_corrupt_leaf(
    t: &mut Transaction<'_, '_>,
    leaf: &TaskGroup,
    reason: String,
) -> Result<(), StoreError> {
    let Some(offset) = leaf.first() else { return Ok(()) };
    let in_step = |error: TransitionError| error.in_step(leaf.key(offset));
    let mut leaf = *leaf;
    if leaf.status.state == State::Pending {
        leaf = change_leaves(t, &leaf, LeafChange::of(Signal::Start)).map_err(in_step)?;
    }
    // A permanent failure has no retry, and so no random delay.
    let failure = AttemptFailure::fatal(reason);
    fail_leaf(t, &leaf, leaf.id(offset), &failure, Jitter(0)).map(drop).map_err(in_step)
}

/// Fails a parent permanently, by legal transitions.
pub(crate) fn fail_corrupt_parent(
    t: &mut Transaction<'_, '_>,
    row: &mut ParentRow,
    reason: String,
) -> Result<(), StoreError> {
    fail(t, row, reason, false)
}

fn fail(
    t: &mut Transaction<'_, '_>,
    row: &mut ParentRow,
    reason: String,
    is_corrupt: bool,
) -> Result<(), StoreError> {
    let key = row.node.key;
    let in_step = |error: TransitionError| error.in_step_of_parent(key);
    if row.node.state == State::Pending {
        let change = ParentChange { is_corrupt, ..ParentChange::default() };
        change_parent(t, row, Signal::Start, change).map_err(in_step)?;
    }
    // The event of a run says nothing but that it failed.
    let failure = AttemptFailure::fatal(reason);
    let failure = key.task.is_some().then_some(&failure);
    let change = ParentChange { is_corrupt, failure, output: None };
    change_parent(t, row, Signal::Fail, change).map_err(in_step)
}

/// Fails the parents and runs that the transaction could not read; returns whether there were any.
pub(super) fn fail_corrupt_parents(t: &mut Transaction<'_, '_>) -> Result<bool, StoreError> {
    if t.corrupt.is_empty() {
        return Ok(false);
    }
    let corrupt = std::mem::take(&mut t.corrupt);
    // Runs last: a parent that fails is counted in its run.
    let (parents, runs): (Vec<CorruptParent>, Vec<CorruptParent>) =
        corrupt.into_values().partition(|corrupt| corrupt.key.task.is_some());
    for CorruptParent { key, node, reason } in parents.into_iter().chain(runs) {
        match load_parents(t, &[key])?.pop() {
            // It can be read: something else that it needs is damaged.
            Some(Ok(mut row)) if !row.node.state.is_terminal() => fail(t, &mut row, reason, false)?,
            Some(Ok(_)) => {}
            _ if key.task.is_none() => fail_corrupt_run(t, key.run)?,
            _ => match node {
                Some(node) if !node.state.is_terminal() => {
                    fail(t, &mut ParentRow::of_corrupt(*node), reason, true)?;
                }
                Some(_) => {}
                None => fail_corrupt_task(t, key.task.unwrap_or_default(), &reason)?,
            },
        }
    }
    Ok(true)
}

/// Fails a parent of which not even the id can be read: no step may find it again.
fn fail_corrupt_task(t: &mut Transaction<'_, '_>, key: TaskKey, reason: &str) -> Result<(), StoreError> {
    let reason = reason.strip_prefix(CHANGED_NUMBERS).unwrap_or(reason).to_owned();
    t.store()?.fail_corrupt(CorruptRow::Task(&CorruptTask { key, index: 0, reason })).map(drop)
}

fn fail_corrupt_run(t: &mut Transaction<'_, '_>, run: RunKey) -> Result<(), StoreError> {
    if t.store()?.fail_corrupt(CorruptRow::Run(run))?
        && let Some(body) = transition_event(NodeType::Run, Signal::Fail)
    {
        t.push_event(NewEvent::Run(run, body));
    }
    Ok(())
}
