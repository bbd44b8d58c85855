//! Creates root tasks.

use crate::StoreError;
use crate::backend::{
    KeySet, NewBlock, NewEvent, NewParent, NewRunRow, OffsetSet, ParentKey, Position, RunKey, TaskKey,
    continues_block,
};
use crate::ops::tx::Transaction;
use conductor_model::{EventBody, FanoutSize, IdBlock, Json, NewTask, NodeStatus, NodeType, State, TaskId};
use std::collections::HashSet;
use std::ops::Range;

/// Why root tasks cannot be created.
pub(super) enum CreateError {
    /// The block of ids is too small.
    TooFewIds,
    /// Another task has this id.
    IdTaken(TaskId),
}

/// The ids of a root task and of its join.
#[derive(Clone, Copy)]
struct Ids {
    task: TaskId,
    join: Option<TaskId>,
}

/// Inserts root tasks with consecutive indices, and the run itself if it is new.
pub(super) fn insert_roots(
    t: &mut Transaction<'_, '_>,
    (run, new_run): (RunKey, Option<&NewRunRow<'_>>),
    first_index: u32,
    roots: &Roots<'_>,
    keys: &[TaskKey],
) -> Result<(), StoreError> {
    let Roots { tasks, ids, groups } = roots;
    let position = Position { parent: ParentKey::run(run), is_join: false };
    let names: Vec<&str> = tasks.iter().map(|task| task.name().as_str()).collect();
    let inputs: Vec<Option<&str>> = tasks.iter().map(|task| task.input().map(Json::as_str)).collect();
    let mut blocks = Vec::with_capacity(groups.len());
    for (group, first_key) in groups.iter().zip(keys) {
        let (task, id) = (&tasks[group.start], ids[group.start]);
        blocks.push(NewBlock {
            first_key: *first_key,
            first_id: id.task,
            first_index: first_index + index(group.start),
            count: u16::try_from(group.len()).unwrap_or(u16::MAX),
            position,
            kind: task.kind(),
            priority: task.priority(),
            max_retries: task.max_retries(),
            backoff: task.backoff(),
            timeout_ms: task.timeout_ms(),
            due_at: task.due_at(),
            names: &names[group.clone()],
            inputs: &inputs[group.clone()],
            parent: task.child_counts().map(|counts| NewParent {
                counts,
                policy: task.policy(),
                join: id.join.zip(task.join()),
            }),
        });
    }
    t.store()?.insert(new_run, &blocks)
}

/// Counts and records root tasks that were inserted.
pub(super) fn note_roots(
    t: &mut Transaction<'_, '_>,
    run: RunKey,
    first_index: u32,
    roots: &Roots<'_>,
    keys: &[TaskKey],
) {
    for (group, first_key) in roots.groups.iter().zip(keys) {
        let Some(task) = roots.tasks.get(group.start) else { continue };
        let count = u16::try_from(group.len()).unwrap_or(u16::MAX);
        note_created(t, (run, *first_key, count), first_index + index(group.start), task);
    }
}

fn index(nth: usize) -> u32 {
    u32::try_from(nth).unwrap_or(u32::MAX)
}

/// Root tasks with their ids, in groups that share a block.
pub(super) struct Roots<'a> {
    tasks: &'a [NewTask],
    ids: Vec<Ids>,
    groups: Vec<Range<usize>>,
}

impl<'a> Roots<'a> {
    /// Chooses the ids, in the order of the tasks. Ids that the tasks do not choose come from `ids`.
    pub(super) fn choose(tasks: &'a [NewTask], ids: &mut IdBlock) -> Result<Self, CreateError> {
        let mut chosen = Vec::with_capacity(tasks.len());
        let mut seen = HashSet::with_capacity(tasks.len());
        for task in tasks {
            let id = task.id().or_else(|| ids.take_task()).ok_or(CreateError::TooFewIds)?;
            if !seen.insert(id) {
                return Err(CreateError::IdTaken(id));
            }
            let join = match task.join() {
                Some(_) => Some(ids.take_task().ok_or(CreateError::TooFewIds)?),
                None => None,
            };
            seen.extend(join);
            chosen.push(Ids { task: id, join });
        }
        let groups = group(tasks, &chosen);
        Ok(Self { tasks, ids: chosen, groups })
    }

    /// The ids, in the order of the tasks.
    pub(super) fn ids(&self) -> Vec<TaskId> {
        self.ids.iter().map(|ids| ids.task).collect()
    }

    /// The sizes of the blocks.
    pub(super) fn sizes(&self) -> Vec<u16> {
        self.groups.iter().map(|group| u16::try_from(group.len()).unwrap_or(u16::MAX)).collect()
    }
}

/// Neighbors that can share a block: leaves with the same options and consecutive ids.
fn group(tasks: &[NewTask], ids: &[Ids]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for nth in 0..tasks.len() {
        match groups.last_mut() {
            Some(group)
                if group.len() < usize::from(OffsetSet::MAX)
                    && share_block(&tasks[nth - 1], &tasks[nth])
                    && continues_block(ids[nth].task)
                    && ids[nth].task.as_u128() == ids[nth - 1].task.as_u128() + 1 =>
            {
                group.end = nth + 1;
            }
            _ => groups.push(nth..nth + 1),
        }
    }
    groups
}

fn share_block(left: &NewTask, right: &NewTask) -> bool {
    left.child_counts().is_none()
        && right.child_counts().is_none()
        && left.kind() == right.kind()
        && left.priority() == right.priority()
        && left.max_retries() == right.max_retries()
        && left.backoff() == right.backoff()
        && left.timeout_ms() == right.timeout_ms()
        && left.due_at() == right.due_at()
}

/// Counts and records neighbors with the same options; `index` is that of the first.
fn note_created(
    t: &mut Transaction<'_, '_>,
    (run, base, count): (RunKey, TaskKey, u16),
    index: u32,
    task: &NewTask,
) {
    let counts = task.child_counts();
    let fanout = counts.map(|counts| counts.total.map_or(FanoutSize::Open, FanoutSize::Fixed));
    let (policy, has_join) = (task.policy(), task.join().is_some());
    let body = EventBody::TaskCreated { index, parent: None, fanout, policy, has_join };
    t.push_event(match counts {
        Some(_) => NewEvent::Task(run, base, body),
        None => NewEvent::Leaves(run, vec![KeySet { base, offsets: OffsetSet::first(count) }], body),
    });
    let node_type = if counts.is_some() { NodeType::Parent } else { NodeType::Leaf };
    let pending = NodeStatus { node_type, state: State::Pending, retry_scheduled: false };
    t.add_count(ParentKey::run(run), None, pending, u32::from(count));
}
