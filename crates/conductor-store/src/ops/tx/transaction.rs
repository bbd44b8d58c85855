//! What an operation has to write, count and record.

use crate::StoreError;
use crate::backend::{
    CorruptParent, CountChange, LeafWrite, NewEvent, ParentKey, ParentWrite, RunKey, TaskKey, WriteTx,
};
use crate::ops::ancestors::Ancestors;
use conductor_model::{CountDelta, EventBody, IllegalTransition, NodeStatus, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};

/// An open transaction, and what the operation has not handed to it yet.
///
/// Reads go through [`Transaction::store`], which hands over all writes first. `'r` is the life of the request, whose
/// outputs are written without a copy.
pub(crate) struct Transaction<'t, 'r> {
    tx: &'t mut dyn WriteTx,
    /// The moment of the operation.
    pub(crate) now: Timestamp,
    /// What is known of the parents and runs above the tasks of the operation.
    pub(crate) ancestors: Ancestors,
    pub(super) counts: Vec<CountChange>,
    /// Whether the store has answered that it counts later.
    pub(super) counts_later: bool,
    count_index: HashMap<ParentKey, usize>,
    leaf_writes: Vec<LeafWrite<'r>>,
    parent_writes: Vec<ParentWrite>,
    events: Vec<NewEvent>,
    /// The runs that are known to have started.
    pub(super) started: HashSet<RunKey>,
    /// Parents and runs whose join has settled, and which are not decided yet.
    pub(super) ended_joins: Vec<ParentKey>,
    /// Parents and runs that could not be read, and have not failed yet.
    pub(super) corrupt: BTreeMap<ParentKey, CorruptParent>,
}

impl<'t, 'r> Transaction<'t, 'r> {
    pub(super) fn new(tx: &'t mut dyn WriteTx, now: Timestamp) -> Self {
        Self {
            tx,
            now,
            ancestors: Ancestors::default(),
            counts: Vec::new(),
            counts_later: false,
            count_index: HashMap::new(),
            leaf_writes: Vec::new(),
            parent_writes: Vec::new(),
            events: Vec::new(),
            started: HashSet::new(),
            ended_joins: Vec::new(),
            corrupt: BTreeMap::new(),
        }
    }

    /// Returns the transaction of the store, which has all writes so far. Changes that are not counted yet are missing
    /// in what it returns of parents: read these with [`load_parents`](super::load_parents).
    pub(crate) fn store(&mut self) -> Result<&mut dyn WriteTx, StoreError> {
        if !self.leaf_writes.is_empty() || !self.parent_writes.is_empty() {
            let leaves = std::mem::take(&mut self.leaf_writes);
            self.tx.write(&leaves, &std::mem::take(&mut self.parent_writes))?;
        }
        Ok(self.tx)
    }

    pub(super) fn push_leaves(&mut self, write: LeafWrite<'r>) {
        self.leaf_writes.push(write);
    }

    pub(super) fn push_parent(&mut self, write: ParentWrite) {
        // The status of a damaged row is not its own.
        if !write.is_corrupt {
            self.ancestors.set_cancel_cause(write.row.node.key, write.row.status.cancel_cause);
        }
        self.parent_writes.push(write);
    }

    /// Counts `count` siblings that were created (`before` is `None`) or whose status changed in the same way.
    pub(crate) fn add_count(
        &mut self,
        parent: ParentKey,
        before: Option<NodeStatus>,
        after: NodeStatus,
        count: u32,
    ) {
        let change = match self.counts.last_mut() {
            Some(last) if last.parent == parent => last,
            _ => {
                let index = *self.count_index.entry(parent).or_insert_with(|| {
                    self.counts.push(CountChange { parent, delta: CountDelta::default() });
                    self.counts.len() - 1
                });
                &mut self.counts[index]
            }
        };
        change.delta.add(before, after, count);
    }

    pub(super) fn take_counts(&mut self) -> Vec<CountChange> {
        self.count_index.clear();
        std::mem::take(&mut self.counts)
    }

    /// Adds an event. It is recorded at the end of the transaction, behind those before it.
    pub(crate) fn push_event(&mut self, event: NewEvent) {
        if let NewEvent::Leaves(run, keys, body) = &event
            && let Some(NewEvent::Leaves(last_run, last_keys, last_body)) = self.events.last_mut()
            && (*last_run, &*last_body) == (*run, body)
        {
            last_keys.extend_from_slice(keys);
            return;
        }
        self.events.push(event);
    }

    /// Adds an event of a parent or a run.
    pub(crate) fn push_parent_event(&mut self, parent: ParentKey, body: EventBody) {
        self.push_event(match parent.task {
            Some(task) => NewEvent::Task(parent.run, task, body),
            None => NewEvent::Run(parent.run, body),
        });
    }

    /// Records all events.
    pub(super) fn record_events(&mut self) -> Result<(), StoreError> {
        let events = std::mem::take(&mut self.events);
        let store = self.store()?;
        if events.is_empty() { Ok(()) } else { store.record(&events) }
    }
}

/// A transition that the state machine does not allow, or an error of the store.
#[derive(Debug)]
pub(crate) enum TransitionError {
    Illegal(IllegalTransition),
    Store(StoreError),
}

impl From<StoreError> for TransitionError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl TransitionError {
    /// The error in an operation that chose the task by its state: an illegal transition shows a row that contradicts
    /// itself.
    pub(crate) fn in_step(self, task: TaskKey) -> StoreError {
        match self {
            Self::Illegal(illegal) => corrupt_task(task, &illegal.to_string()),
            Self::Store(error) => error,
        }
    }

    /// The same for a parent or a run.
    pub(crate) fn in_step_of_parent(self, parent: ParentKey) -> StoreError {
        match (self, parent.task) {
            (error, Some(task)) => error.in_step(task),
            (Self::Illegal(illegal), None) => {
                StoreError::CorruptRow { row: parent.run.to_string(), reason: illegal.to_string() }
            }
            (Self::Store(error), None) => error,
        }
    }
}

/// A row that contradicts others.
pub(crate) fn corrupt_task(task: TaskKey, reason: &str) -> StoreError {
    StoreError::CorruptRow { row: task.to_string(), reason: reason.into() }
}

/// How the reason begins why a parent or a run failed that cannot be read.
pub(super) const CHANGED_NUMBERS: &str = "its numbers were changed: ";

/// Notes a parent or a run that cannot be read. It fails at the end of the transaction.
pub(crate) fn note_corrupt(t: &mut Transaction<'_, '_>, mut corrupt: CorruptParent) {
    corrupt.reason.insert_str(0, CHANGED_NUMBERS);
    t.corrupt.insert(corrupt.key, corrupt);
}
