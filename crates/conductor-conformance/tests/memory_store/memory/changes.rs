//! Writes.

use super::state::{EventRow, Family, JoinPlan, RunRow, State, TaskRow};
use conductor_store::StoreError;
use conductor_store::backend::{
    Block, LeafStatus, LeafWrite, NewBlock, NewEvent, NewKeys, NewRunRow, OffsetSet, ParentKey, ParentWrite,
    ProgressWrite, RunKey, TaskGroup, TaskKey,
};
use conductor_store::model::{
    ChildCounts, EventBody, JoinStatus, Json, ParentStatus, Policy, Progress, State as TaskState,
    StateCounts, TaskId, TaskName, TaskProgress, Timestamp,
};
use std::str::FromStr;
use std::sync::Arc;

/// What a new parent or run is as a parent.
fn family(counts: ChildCounts, policy: Policy, has_join: bool) -> Family {
    let join = if has_join { JoinStatus::NotStarted } else { JoinStatus::None };
    Family { status: ParentStatus { counts, policy, cancel_cause: None, join }, swept: 0 }
}

fn corrupt(task: TaskKey, reason: &str) -> StoreError {
    StoreError::CorruptRow { row: task.to_string(), reason: reason.into() }
}

/// Text that the operation has validated.
fn valid<T: FromStr>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Backend(format!("{text} is not valid").into()))
}

/// Inserts.
impl State {
    /// Keys of new rows, with gaps between the blocks.
    pub(super) fn new_keys(&mut self, wants_run: bool, sizes: &[u16]) -> NewKeys {
        let unit = u64::from(OffsetSet::MAX);
        let mut keys = NewKeys::default();
        if wants_run {
            self.last.run += 3;
            keys.run = RunKey(self.last.run);
        }
        for size in sizes {
            let gap = self.last.task * 7 % 97;
            let first = (self.last.task / unit + 1) * unit + gap;
            self.last.task = first + u64::from(*size);
            keys.blocks.push(TaskKey(first));
        }
        keys
    }

    pub(super) fn insert_run(&mut self, new: &NewRunRow<'_>, now: Timestamp) {
        let NewRunRow { key, id, run, counts, deadline, join_id } = *new;
        let row = RunRow {
            id,
            state: TaskState::Pending,
            created_at: now,
            updated_at: now,
            meta: run.meta().cloned(),
            submission: run.idempotency_key().cloned().zip(run.payload()),
            deadline,
            state_counts: StateCounts::default(),
            family: family(counts, run.policy(), run.join().is_some()),
        };
        self.runs.insert(key, Arc::new(row));
        self.run_ids.insert(id, key);
        if let Some((id, join)) = join_id.zip(run.join().cloned()) {
            self.joins.insert(ParentKey::run(key), JoinPlan { id, join });
        }
    }

    pub(super) fn insert_block(&mut self, new: &NewBlock<'_>, now: Timestamp) -> Result<(), StoreError> {
        for nth in 0..new.count {
            let task = self.new_task(new, nth, now)?;
            let place = (task.parent(), task.index);
            if self.task_ids.contains_key(&task.id) {
                return Err(corrupt(task.key, "another task has its id"));
            }
            if self.places.contains_key(&place) {
                return Err(corrupt(task.key, "another task stands at its position"));
            }
            self.task_ids.insert(task.id, task.key);
            self.places.insert(place, task.key);
            self.tasks.insert(task.key, Arc::new(task));
        }
        if let Some((id, join)) = new.parent.and_then(|parent| parent.join) {
            let parent = ParentKey::task(new.position.parent.run, new.first_key);
            self.joins.insert(parent, JoinPlan { id, join: join.clone() });
        }
        Ok(())
    }

    fn new_task(&self, new: &NewBlock<'_>, nth: u16, now: Timestamp) -> Result<TaskRow, StoreError> {
        let key = new.first_key.plus(nth);
        let index = new.first_index + u32::from(nth);
        let name: TaskName = match (new.names.get(usize::from(nth)), new.position.parent.task) {
            (Some(name), _) => valid(name)?,
            (None, Some(parent)) => {
                let parent = self.task(parent).ok_or_else(|| corrupt(key, "its parent is missing"))?;
                parent.name.child(index)
            }
            (None, None) => return Err(corrupt(key, "it has no name")),
        };
        let input = new.inputs.get(usize::from(nth)).copied().flatten();
        let block = Block {
            base: new.first_key,
            base_id: new.first_id.as_u128(),
            base_index: new.first_index,
            position: new.position,
            max_retries: new.max_retries,
            backoff: new.backoff,
            timeout_ms: new.timeout_ms,
        };
        let status = LeafStatus {
            state: TaskState::Pending,
            due_at: new.due_at,
            attempt: 0,
            retry_count: 0,
            lease_losses: None,
            is_claimed: false,
        };
        let family = new.parent.map(|parent| family(parent.counts, parent.policy, parent.join.is_some()));
        Ok(TaskRow {
            key,
            id: TaskId::from_u128(new.first_id.as_u128() + u128::from(nth)),
            index,
            name,
            kind: new.kind.clone(),
            priority: new.priority,
            created_at: now,
            updated_at: now,
            input: input.map(valid::<Json>).transpose()?,
            output: None,
            error: None,
            block,
            status,
            claim: None,
            family,
        })
    }
}

/// Updates.
impl State {
    fn change_task(&mut self, key: TaskKey, change: impl FnOnce(&mut TaskRow)) {
        if let Some(task) = self.tasks.get_mut(&key) {
            change(Arc::make_mut(task));
        }
    }

    pub(super) fn write_leaves(&mut self, write: &LeafWrite<'_>, now: Timestamp) {
        let mut outputs = write.outputs.iter().peekable();
        for offset in write.before.offsets.iter() {
            let output = outputs.next_if(|(of, _)| *of == offset).map(|(_, output)| (*output).clone());
            self.change_task(write.before.key(offset), |task| {
                task.status = write.after;
                task.claim = write.claim;
                task.updated_at = now;
                set_result(&mut task.output, output, write.clears_output);
                task.error = write.error.clone().or_else(|| task.error.take());
            });
        }
    }

    pub(super) fn write_parent(&mut self, write: &ParentWrite, now: Timestamp) {
        let row = write.row;
        let key = row.node.key;
        if row.node.state.is_terminal() {
            // Its policy does not apply to the children that are revived later.
            self.failures.remove(&key);
        }
        let set_family = |family: &mut Family| {
            let counts = ChildCounts { total: row.status.counts.total, ..family.status.counts };
            *family = Family { status: ParentStatus { counts, ..row.status }, swept: row.swept };
        };
        match key.task {
            Some(task) => self.change_task(task, |task| {
                task.status.state = row.node.state;
                task.status.due_at = row.node.due_at;
                task.updated_at = now;
                set_result(&mut task.output, write.output.clone(), write.clears_output);
                task.error = write.error.clone().or_else(|| task.error.take());
                task.family.iter_mut().for_each(set_family);
            }),
            None => {
                if let Some(run) = self.runs.get_mut(&key.run) {
                    let run = Arc::make_mut(run);
                    run.state = row.node.state;
                    run.deadline = row.deadline;
                    run.updated_at = now;
                    set_family(&mut run.family);
                }
            }
        }
    }

    pub(super) fn refresh(&mut self, leaves: &[TaskGroup], lease_until: Option<Timestamp>, now: Timestamp) {
        for key in leaves.iter().flat_map(|group| group.keys().iter()) {
            self.change_task(key, |task| {
                task.updated_at = now;
                if let (Some(claim), Some(until)) = (&mut task.claim, lease_until) {
                    claim.lease_until = until;
                }
            });
        }
    }

    pub(super) fn write_progress(&mut self, progress: &[ProgressWrite<'_>], now: Timestamp) {
        for write in progress {
            let Some(id) = self.task(write.task).map(|task| task.id) else { continue };
            let largest = |number: u64| number.min(i64::MAX.cast_unsigned());
            let (done, total) = (largest(write.progress.done), write.progress.total.map(largest));
            let progress = Progress { done, total, message: write.progress.message.clone() };
            let row = TaskProgress { task: id, attempt: write.attempt, at: now, progress };
            self.progress.insert(write.task, row);
        }
        let tasks = &self.tasks;
        self.progress.retain(|key, progress| {
            tasks.get(key).is_some_and(|task| {
                task.status.state == TaskState::Running && task.status.attempt == progress.attempt
            })
        });
    }

    pub(super) fn record(&mut self, event: &NewEvent, at: Timestamp) {
        match event {
            NewEvent::Run(run, body) => self.push_event(*run, None, at, body),
            NewEvent::Task(run, task, body) => self.push_event(*run, Some(*task), at, body),
            NewEvent::Leaves(run, keys, body) => {
                for (place, key) in (0..).zip(keys.iter().flat_map(conductor_store::backend::KeySet::iter)) {
                    self.push_event(*run, Some(key), at, &body.of_sibling(place));
                }
            }
        }
    }

    fn push_event(&mut self, run: RunKey, task: Option<TaskKey>, at: Timestamp, body: &EventBody) {
        self.last.event += 1;
        self.events.insert(self.last.event, Arc::new(EventRow { run, task, at, body: body.clone() }));
    }
}

fn set_result(stored: &mut Option<Json>, output: Option<Json>, clears: bool) {
    if output.is_some() || clears {
        *stored = output;
    }
}
