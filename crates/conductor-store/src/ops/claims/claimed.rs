//! What the handlers of claimed leaves get.

use crate::backend::{ParentKey, Position, TaskGroup};
use crate::ops::input::{Input, ParentInputs};
use crate::ops::tx::{Transaction, fail_corrupt_leaf};
use crate::{ClaimedGroup, FenceSet, Inputs, StoreError};
use conductor_model::{Json, LeaseLosses, RunId, TaskId};

/// An input of a leaf's own; or why it cannot be read.
type OwnInput = Option<Result<Json, String>>;

/// Returns leaves that were started, for their handlers. `own` has one entry for each leaf, or none if no leaf has an input
/// of its own. A leaf whose data cannot be read fails instead, and is left out.
pub(super) fn claimed_group(
    t: &mut Transaction<'_, '_>,
    parents: &mut ParentInputs,
    (group, own): (&TaskGroup, Vec<OwnInput>),
    quota_index: usize,
) -> Result<Option<ClaimedGroup>, StoreError> {
    let (block, status) = (&group.block, &group.status);
    let relatives = relatives(t, block.position.parent);
    let (inputs, failed) = match &relatives {
        Ok(_) => inputs(parents, group, own),
        Err(reason) => (Inputs::Shared(None), with_each_leaf(group, reason)),
    };
    let mut offsets = group.offsets;
    for (offset, reason) in failed {
        fail_corrupt_leaf(t, &group.leaf(offset), reason)?;
        offsets.remove(offset);
    }
    Ok(relatives.ok().filter(|_| !offsets.is_empty()).map(|(run, parent)| ClaimedGroup {
        fences: FenceSet { base_id: block.base_id, base_key: block.base.0, attempt: status.attempt, offsets },
        run,
        parent,
        base_index: block.base_index,
        quota_index,
        inputs,
        retry_count: status.retry_count,
        timeout_ms: block.timeout_ms,
        isolated: status.lease_losses == Some(LeaseLosses::Isolate),
    }))
}

/// The inputs of a group, without those of the leaves that have none they could run with: these, each with the reason.
fn inputs(parents: &mut ParentInputs, group: &TaskGroup, own: Vec<OwnInput>) -> (Inputs, Vec<(u16, String)>) {
    let position = group.block.position;
    if own.is_empty() {
        return match input(parents, position, None) {
            Ok(shared) => (Inputs::Shared(shared), Vec::new()),
            Err(reason) => (Inputs::Shared(None), with_each_leaf(group, &reason)),
        };
    }
    let (mut each, mut failed) = (Vec::with_capacity(own.len()), Vec::new());
    // A leaf without an entry has no input of its own.
    let own = own.into_iter().chain(std::iter::repeat_with(|| None));
    for (offset, own) in group.offsets.iter().zip(own) {
        match input(parents, position, own) {
            Ok(input) => each.push(input),
            Err(reason) => failed.push((offset, reason)),
        }
    }
    (Inputs::Each(each), failed)
}

fn with_each_leaf(group: &TaskGroup, reason: &str) -> Vec<(u16, String)> {
    group.offsets.iter().map(|offset| (offset, reason.to_owned())).collect()
}

fn input(parents: &mut ParentInputs, position: Position, own: OwnInput) -> Result<Option<Json>, String> {
    let changed = |reason: String| format!("its input was changed: {reason}");
    let own = own.transpose().map_err(changed)?;
    match parents.input_of(position, own).map_err(changed)? {
        Input::Missing => Err(changed("it is missing".into())),
        input => Ok(input.into_json()),
    }
}

/// The ids of the run and of the parent of leaves.
fn relatives(t: &Transaction<'_, '_>, parent: ParentKey) -> Result<(RunId, Option<TaskId>), String> {
    let missing = |row: String| format!("{row}: its row is missing");
    let run = t.ancestors.run(parent.run).ok_or_else(|| missing(parent.run.to_string()))?;
    let parent = match parent.task {
        Some(task) => Some(t.ancestors.task(task).ok_or_else(|| missing(task.to_string()))?.id),
        None => None,
    };
    Ok((run.id, parent))
}
