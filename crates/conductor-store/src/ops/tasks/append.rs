//! Appends children to an open fan-out, and root tasks to an open run.

use super::create_children::{NewChildren, count_children, insert_children};
use super::create_roots::{CreateError, Roots, insert_roots, note_roots};
use crate::backend::{ChildTemplate, ExistingWanted, FanOutWanted, Node, ParentKey};
use crate::ops::scope::find_run;
use crate::ops::tx::{
    ParentChange, Transaction, TransitionError, change_parent, corrupt_task, find_task, is_cancelling,
    require_parent,
};
use crate::{Append, AppendError, AppendOutcome, NodeId, StoreError};
use conductor_model::{
    AppendRejection, FanoutItem, IdBlock, Json, MAX_FANOUT, MAX_TASKS, NewTask, RunId, Signal, State, TaskId,
    existing_children,
};

/// Checks what needs no transaction.
pub(crate) fn check(request: &Append) -> Result<(), AppendError> {
    let (first_index, len) = match request {
        Append::Items { first_index, items, .. } => (*first_index, items.len()),
        Append::Tasks { first_index, tasks, .. } => (*first_index, tasks.len()),
    };
    if first_index == 0 {
        return Err(AppendError::IndexZero);
    }
    if len > MAX_TASKS {
        return Err(AppendError::TooMany { len, max: MAX_TASKS, at_once: true });
    }
    Ok(())
}

pub(crate) fn append(t: &mut Transaction<'_, '_>, request: &Append) -> Result<AppendOutcome, AppendError> {
    match request {
        Append::Items { parent, first_index, items, ids, .. } => {
            append_items(t, *parent, *first_index, items, *ids)
        }
        Append::Tasks { run, first_index, tasks, ids, .. } => {
            append_tasks(t, *run, *first_index, tasks, *ids)
        }
    }
}

fn append_items(
    t: &mut Transaction<'_, '_>,
    parent: TaskId,
    first_index: u32,
    items: &[Json],
    mut ids: IdBlock,
) -> Result<AppendOutcome, AppendError> {
    let id = NodeId::Task(parent);
    let mut row = match find_task(t, parent)? {
        None => return Err(AppendError::NotFound(id)),
        Some(Node::Leaves(_)) => return Err(AppendError::NotAParent(parent)),
        Some(Node::Parent(Ok(row))) => row,
        Some(Node::Parent(Err(corrupt))) => require_parent(t, corrupt.key)?,
        Some(Node::Corrupt(corrupt)) => {
            return Err(corrupt_task(corrupt.key, &corrupt.reason).into());
        }
    };
    let counts = row.status.counts;
    let existing = existing_children(row.node.state, counts, first_index, items.len());
    let existing = existing.map_err(|rejection| rejected(id, first_index, rejection))?;
    if existing < items.len() && is_cancelling(t, row.node.key)? {
        return Err(AppendError::CancelInProgress(id));
    }
    let items = items[existing..].iter().map(Json::as_str);
    // An appended task is always a leaf; the key `fanout` in its input has no effect.
    let new: Vec<_> = items.map(|input| FanoutItem { input, fanout: None }).collect();
    let created = u32::try_from(new.len()).unwrap_or(u32::MAX);
    if created > 0 {
        if row.node.state == State::Pending {
            let started = change_parent(t, &mut row, Signal::Start, ParentChange::default());
            started.map_err(|error| match error {
                TransitionError::Illegal(_) => AppendError::AlreadySettled(id),
                TransitionError::Store(error) => error.into(),
            })?;
        }
        let count = ids.len();
        let ids = ids.take(created).ok_or(AppendError::TooFewIds(count))?;
        let template = template(t, row.node.key)?;
        let indices = counts.created + 1..=counts.created + created;
        let children = NewChildren { parent: row.node.key, template: &template, indices, ids, items: new };
        let children = count_children(t, children)?;
        insert_children(t, &[children])?;
    }
    Ok(AppendOutcome { created, next_index: counts.created + created + 1 })
}

fn template(t: &mut Transaction<'_, '_>, parent: ParentKey) -> Result<ChildTemplate, StoreError> {
    let corrupt = |reason: &str| corrupt_task(parent.task.unwrap_or_default(), reason);
    match t.store()?.fan_out_parents(FanOutWanted::Parent(parent), 0)?.items.pop() {
        Some(parent) => parent.template.map_err(|reason| corrupt(&reason)),
        None => Err(corrupt("its row is missing")),
    }
}

fn append_tasks(
    t: &mut Transaction<'_, '_>,
    run: RunId,
    first_index: u32,
    tasks: &[NewTask],
    mut ids: IdBlock,
) -> Result<AppendOutcome, AppendError> {
    let id = NodeId::Run(run);
    let key = find_run(t.store()?, run)?.ok_or(AppendError::NotFound(id))?;
    let row = require_parent(t, ParentKey::run(key))?;
    let counts = row.status.counts;
    let existing = existing_children(row.node.state, counts, first_index, tasks.len());
    let existing = existing.map_err(|rejection| rejected(id, first_index, rejection))?;
    if existing < tasks.len() && row.status.cancel_cause.is_some() {
        return Err(AppendError::CancelInProgress(id));
    }
    let (count, tasks) = (ids.len(), &tasks[existing..]);
    let created = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
    let next_index = counts.created + created + 1;
    if created == 0 {
        return Ok(AppendOutcome { created, next_index });
    }
    let roots = Roots::choose(tasks, &mut ids).map_err(|error| match error {
        CreateError::TooFewIds => AppendError::TooFewIds(count),
        CreateError::IdTaken(id) => AppendError::TaskIdTaken(id),
    })?;
    let wanted = ExistingWanted { tasks: &roots.ids(), ..ExistingWanted::default() };
    if let Some(taken) = t.store()?.existing(&wanted)?.task {
        return Err(AppendError::TaskIdTaken(taken));
    }
    let keys = t.store()?.new_keys(false, &roots.sizes())?.blocks;
    insert_roots(t, (key, None), counts.created + 1, &roots, &keys)?;
    note_roots(t, key, counts.created + 1, &roots, &keys);
    Ok(AppendOutcome { created, next_index })
}

fn rejected(parent: NodeId, first_index: u32, rejection: AppendRejection) -> AppendError {
    match rejection {
        AppendRejection::Gap(expected) => AppendError::IndexGap { given: first_index, expected },
        AppendRejection::Sealed => AppendError::Sealed(parent),
        AppendRejection::Settled => AppendError::AlreadySettled(parent),
        AppendRejection::TooMany(len) => {
            AppendError::TooMany { len, max: MAX_FANOUT as usize, at_once: false }
        }
    }
}
