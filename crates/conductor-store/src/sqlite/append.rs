//! Append children to an open fan-out.

use super::SqliteStore;
use super::ledger::Place;
use super::marks::Marks;
use super::sql::run_key;
use super::task_row::TaskRow;
use super::transit::{Brings, TransitError};
use super::write::Write;
use crate::{Append, AppendError, AppendOutcome, NodeId};
use conductor_model::{
    ChildCounts, FanoutItem, IdBlock, Json, MAX_FANOUT, MAX_TASKS, NewTask, NodeType, RunId, Signal, State,
    TaskId,
};

impl SqliteStore {
    pub(super) fn append_children(&self, request: &Append) -> Result<AppendOutcome, AppendError> {
        match request {
            Append::Items { parent, first_index, items, now, ids } => {
                check(*first_index, items.len())?;
                self.write(*now, |write| append_items(write, *parent, *first_index, items, *ids))
            }
            Append::Tasks { run, first_index, tasks, now, ids } => {
                check(*first_index, tasks.len())?;
                self.write(*now, |write| append_tasks(write, *run, *first_index, tasks, *ids))
            }
        }
    }
}

fn check(first_index: u32, given: usize) -> Result<(), AppendError> {
    if first_index == 0 {
        return Err(AppendError::IndexZero);
    }
    if given > MAX_TASKS {
        return Err(AppendError::TooMany { len: given, max: MAX_TASKS, at_once: true });
    }
    Ok(())
}

fn append_items(
    write: &mut Write<'_>,
    parent: TaskId,
    first_index: u32,
    items: &[Json],
    mut ids: IdBlock,
) -> Result<AppendOutcome, AppendError> {
    let id = NodeId::Task(parent);
    let mut task = TaskRow::by_id(write.tx(), parent)?.ok_or(AppendError::NotFound(id))?;
    if task.shape == NodeType::Leaf {
        return Err(AppendError::NotAParent(parent));
    }
    let (tx, ledger, _) = write.parts();
    let numbers = ledger.parent(tx, task.key)?.standing.counts;
    let known = known_of(id, task.state, numbers, first_index, items.len())?;
    if known < items.len() && Marks::default().is_doomed(write, task.below())? {
        return Err(AppendError::CancelInProgress(id));
    }
    let items = items[known..].iter().map(Json::as_str);
    // An appended task is always a leaf; the key `fanout` in its input has no effect.
    let new: Vec<_> = items.map(|input| FanoutItem { input, fanout: None }).collect();
    let created = u32::try_from(new.len()).unwrap_or(u32::MAX);
    if created > 0 {
        if task.state == State::Pending {
            write.transit(&mut task, Signal::Start, Brings::default()).map_err(|error| match error {
                TransitError::Illegal(_) => AppendError::AlreadySettled(id),
                TransitError::StoreError(fault) => fault.into(),
            })?;
        }
        let given = ids.len();
        let ids = ids.take(created).ok_or(AppendError::TooFewIds(given))?;
        let family = write.family(task.key)?;
        let indices = numbers.created + 1..=numbers.created + created;
        write.create_children(&family, indices, ids, &new)?;
    }
    Ok(AppendOutcome { created, next_index: numbers.created + created + 1 })
}

fn append_tasks(
    write: &mut Write<'_>,
    run: RunId,
    first_index: u32,
    tasks: &[NewTask],
    mut ids: IdBlock,
) -> Result<AppendOutcome, AppendError> {
    let id = NodeId::Run(run);
    let key = run_key(write.tx(), run)?.ok_or(AppendError::NotFound(id))?;
    let (tx, ledger, _) = write.parts();
    let head = ledger.run(tx, key)?.head;
    let numbers = head.standing.counts;
    let known = known_of(id, head.state, numbers, first_index, tasks.len())?;
    if known < tasks.len() && head.standing.cancel_cause.is_some() {
        return Err(AppendError::CancelInProgress(id));
    }
    let given = ids.len();
    let mut index = numbers.created;
    for task in &tasks[known..] {
        index += 1;
        let task_id = match task.id() {
            Some(id) => id,
            None => ids.take_task().ok_or(AppendError::TooFewIds(given))?,
        };
        let root = write.create_root(key, index, task_id, task)?.ok_or(AppendError::TaskIdTaken(task_id))?;
        if let Some(join) = task.join() {
            let join_id = ids.take_task().ok_or(AppendError::TooFewIds(given))?;
            write.plan_join(Place::child(key, root), join_id, join)?;
        }
    }
    Ok(AppendOutcome { created: index - numbers.created, next_index: index + 1 })
}

/// How many of the given children exist already, if they may be appended at all.
fn known_of(
    id: NodeId,
    state: State,
    numbers: ChildCounts,
    first_index: u32,
    given: usize,
) -> Result<usize, AppendError> {
    let expected = numbers.created + 1;
    if first_index > expected {
        return Err(AppendError::IndexGap { given: first_index, expected });
    }
    let known = (expected - first_index) as usize;
    if known >= given {
        // All of them exist: a repeated append gets the same answer, also after the seal.
        return Ok(given);
    }
    if numbers.is_sealed() {
        return Err(AppendError::Sealed(id));
    }
    if state.is_terminal() {
        return Err(AppendError::AlreadySettled(id));
    }
    let total = numbers.created as usize + given - known;
    if total > MAX_FANOUT as usize {
        return Err(AppendError::TooMany { len: total, max: MAX_FANOUT as usize, at_once: false });
    }
    Ok(known)
}
