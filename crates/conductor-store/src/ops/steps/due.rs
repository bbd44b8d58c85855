//! Makes tasks PENDING or ready whose time has come: retries and delayed starts.

use crate::backend::{CorruptRow, DueKind, Node, TaskGroup, Work};
use crate::ops::tx::{LeafChange, Transaction, change_leaves, clear_due, clear_parent_due};
use crate::{Step, StepOutcome, StoreError};
use conductor_model::Signal;

/// Makes FAILED tasks PENDING whose retry is due.
pub(crate) fn retry(t: &mut Transaction<'_, '_>, step: &Step) -> Result<StepOutcome, StoreError> {
    let limit = step.limit.max(1);
    let mut changed = 0;
    for node in t.store()?.find(&Work::Due(DueKind::Retry, step.scope, step.now), limit)? {
        changed += len(&node);
        match node {
            Node::Leaves(group) => {
                let retried = change_leaves(t, &group, LeafChange::of(Signal::Retry));
                retried.map_err(|error| error.in_step(group.block.base))?;
            }
            Node::Corrupt(corrupt) => drop(t.store()?.fail_corrupt(CorruptRow::Task(&corrupt))?),
            // Another program wrote a time there: the parent must not be found again and again.
            Node::Parent(parent) => clear_parent_due(t, &parent),
        }
    }
    Ok(StepOutcome { changed, more: changed >= limit })
}

/// Makes delayed tasks ready. They were PENDING and still are: there is no transition and no event.
pub(crate) fn promote(t: &mut Transaction<'_, '_>, step: &Step) -> Result<StepOutcome, StoreError> {
    let limit = step.limit.max(1);
    let mut changed = 0;
    for node in t.store()?.find(&Work::Due(DueKind::Start, step.scope, step.now), limit)? {
        changed += len(&node);
        match node {
            Node::Leaves(group) => clear_due(t, &group),
            Node::Corrupt(corrupt) => drop(t.store()?.fail_corrupt(CorruptRow::Task(&corrupt))?),
            Node::Parent(parent) => clear_parent_due(t, &parent),
        }
    }
    Ok(StepOutcome { changed, more: changed >= limit })
}

fn len(node: &Node) -> u32 {
    match node {
        Node::Leaves(group) => TaskGroup::len(group),
        Node::Parent(_) | Node::Corrupt(_) => 1,
    }
}
