//! What the handlers of claimed leaves get.

use crate::backend::{ParentInput, ParentKey, Position, TaskGroup};
use crate::ops::input::{Input, ParentInputs};
use crate::ops::tx::{Transaction, fail_corrupt_leaf};
use crate::{ClaimedTask, Fence, StoreError};
use conductor_model::{Json, LeaseLosses, RunId, TaskId};

/// The tasks of a claim, for their handlers.
pub(super) struct ClaimedTasks {
    inputs: ParentInputs,
    tasks: Vec<ClaimedTask>,
}

impl ClaimedTasks {
    /// Begins with the tasks that were claimed before.
    pub(super) fn new(parent_inputs: Vec<(ParentKey, ParentInput)>, tasks: Vec<ClaimedTask>) -> Self {
        let mut inputs = ParentInputs::default();
        inputs.learn(parent_inputs);
        Self { inputs, tasks }
    }

    pub(super) fn into_tasks(self) -> Vec<ClaimedTask> {
        self.tasks
    }

    /// Adds leaves that were started. A leaf whose data cannot be read fails instead; returns how many did.
    pub(super) fn add(
        &mut self,
        t: &mut Transaction<'_, '_>,
        group: &TaskGroup,
        inputs: Vec<Option<Result<Json, String>>>,
        quota_index: usize,
    ) -> Result<u32, StoreError> {
        let mut failed = 0;
        let mut inputs = inputs.into_iter();
        let (position, status) = (group.block.position, group.status);
        let relatives = relatives(t, position.parent);
        for offset in group.offsets.iter() {
            let own = inputs.next().flatten();
            let data = match &relatives {
                Ok(relatives) => self.input(position, own).map(|input| (*relatives, input)),
                Err(reason) => Err(reason.clone()),
            };
            match data {
                Ok(((run, parent), input)) => self.tasks.push(ClaimedTask {
                    fence: Fence {
                        task: group.id(offset),
                        key: group.key(offset).0,
                        attempt: status.attempt,
                    },
                    run,
                    parent,
                    index: group.index(offset),
                    quota_index,
                    input,
                    retry_count: status.retry_count,
                    timeout_ms: group.block.timeout_ms,
                    isolated: status.lease_losses == Some(LeaseLosses::Isolate),
                }),
                Err(reason) => {
                    fail_corrupt_leaf(t, &group.leaf(offset), reason)?;
                    failed += 1;
                }
            }
        }
        Ok(failed)
    }

    fn input(
        &mut self,
        position: Position,
        own: Option<Result<Json, String>>,
    ) -> Result<Option<Json>, String> {
        let changed = |reason: String| format!("its input was changed: {reason}");
        let own = own.transpose().map_err(changed)?;
        match self.inputs.input_of(position, own).map_err(changed)? {
            Input::Missing => Err(changed("it is missing".into())),
            input => Ok(input.into_json()),
        }
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
