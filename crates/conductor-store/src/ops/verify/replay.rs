//! One run, computed from its events.

use super::key_map::KeyMap;
use super::limits::ROWS_PER_CALL;
use crate::StoreError;
use crate::backend::{
    AuditEvent, AuditKeys, AuditRun, AuditTasks, CreatedPart, FirstKey, IdRange, KeyRange, KeysFound, ReadTx,
    RunKey, TaskKey,
};
use conductor_model::{EventBody, EventTarget, FanoutSize, RunId, RunReplay, TaskId};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::vec;

/// A run as its events describe it so far.
///
/// It is read in several transactions. Each compares rows only after it has read the new events, so that both are of the
/// same point in time.
pub(crate) struct RunAudit {
    pub(crate) run: RunKey,
    /// Its id; `None` if its row is missing.
    pub(crate) id: Option<RunId>,
    pub(crate) replay: RunReplay,
    pub(crate) keys: KeyMap,
    /// The number of events.
    pub(crate) events: u64,
    /// Which event contradicts the events before it, and why: then the rest says nothing.
    pub(crate) contradiction: Option<String>,
    /// The root tasks that were submitted with a fan-out, and so with an input.
    pub(crate) fanned_out: HashSet<u32>,
    /// Whether the run was imported from the TypeScript version.
    pub(crate) is_imported: bool,
    /// The position of the last event.
    last: u64,
    /// The parent that was named last, by its id: its children follow each other.
    parent: Option<(TaskId, u32)>,
}

/// Why an event was not applied.
enum EventError {
    /// It contradicts the events before it.
    Contradiction(String),
    Store(StoreError),
}

impl From<StoreError> for EventError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What some events need of the rows.
struct Lookups {
    /// For each event of a fan-out, in their order: the parts of its children.
    parts: vec::IntoIter<Vec<CreatedPart>>,
    /// The keys of parents that are named by their ids.
    parents: HashMap<TaskId, TaskKey>,
}

impl RunAudit {
    /// A run of which no event was read.
    pub(super) fn new(run: RunKey, id: Option<RunId>) -> Self {
        Self {
            run,
            id,
            replay: RunReplay::new(),
            keys: KeyMap::default(),
            events: 0,
            contradiction: None,
            fanned_out: HashSet::new(),
            is_imported: false,
            last: 0,
            parent: None,
        }
    }

    /// Whether the row of the run says the same id as when the audit began.
    pub(crate) fn is_of(&self, row: &AuditRun) -> bool {
        match row {
            AuditRun::Stored(row) => row.id.is_some() && row.id == self.id,
            AuditRun::Missing => self.id.is_none(),
            AuditRun::Gone => false,
        }
    }

    /// Applies at most so many further events; returns whether there are more.
    pub(crate) fn catch_up(&mut self, tx: &mut dyn ReadTx, limit: u32) -> Result<bool, StoreError> {
        let mut left = limit;
        while left > 0 && self.contradiction.is_none() {
            let limit = left.min(ROWS_PER_CALL);
            let events = tx.audit_events(self.run, self.last, limit)?;
            self.apply_events(tx, &events)?;
            if events.len() < limit as usize {
                return Ok(false);
            }
            left -= limit;
        }
        Ok(self.contradiction.is_none())
    }

    fn apply_events(&mut self, tx: &mut dyn ReadTx, events: &[AuditEvent]) -> Result<(), StoreError> {
        let mut lookups = self.look_up(tx, events)?;
        for event in events {
            let applied = match &event.body {
                Ok(body) => self.apply_event(tx, event.task, body, &mut lookups),
                Err(why) => Err(EventError::Contradiction(format!("cannot be read: {why}"))),
            };
            self.last = event.seq;
            self.events += 1;
            match applied {
                Ok(()) => {}
                Err(EventError::Contradiction(why)) => {
                    self.contradiction = Some(format!("event {} ({}): {why}", event.seq, event.name));
                    break;
                }
                Err(EventError::Store(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what events need of the rows, all at once.
    fn look_up(&self, tx: &mut dyn ReadTx, events: &[AuditEvent]) -> Result<Lookups, StoreError> {
        let (mut ranges, mut parents) = (Vec::new(), Vec::new());
        for event in events {
            match &event.body {
                Ok(EventBody::TaskFannedOut { first, last, first_id, .. }) => {
                    let count = last.saturating_sub(*first).saturating_add(1);
                    ranges.push(IdRange { first: *first_id, count });
                }
                Ok(
                    EventBody::TaskCreated { parent: Some(parent), .. }
                    | EventBody::TaskAdopted { parent: Some(parent), .. },
                ) => parents.push(*parent),
                _ => {}
            }
        }
        parents.dedup();
        parents.retain(|id| self.parent.is_none_or(|(known, _)| known != *id));
        let created = if ranges.is_empty() {
            KeysFound::default()
        } else {
            tx.audit_keys(AuditKeys::Created(&ranges))?
        };
        let rows = if parents.is_empty() { Vec::new() } else { tx.audit_tasks(AuditTasks::Ids(&parents))? };
        let of_run = rows.into_iter().filter(|task| task.row.run == self.run);
        let parents = of_run.filter_map(|task| Some((task.row.id?, task.key))).collect();
        Ok(Lookups { parts: created.parts.into_iter(), parents })
    }

    fn apply_event(
        &mut self,
        tx: &mut dyn ReadTx,
        task: Option<TaskKey>,
        body: &EventBody,
        lookups: &mut Lookups,
    ) -> Result<(), EventError> {
        if matches!(body, EventBody::Legacy { .. }) {
            return Ok(());
        }
        let target = self.target(tx, task, body, lookups)?;
        let created = self.replay.apply(target, body).map_err(EventError::Contradiction)?;
        let (number, count) = (created.start, created.end - created.start);
        match body {
            EventBody::RunAdopted { .. } => self.is_imported = true,
            EventBody::TaskCreated { fanout: Some(FanoutSize::Fixed(_)), .. } => {
                self.fanned_out.insert(number);
            }
            EventBody::TaskFannedOut { first_id, .. } => {
                self.keys.add_ids(number, count, *first_id);
                self.add_parts(number, lookups.parts.next().unwrap_or_default());
            }
            _ => {}
        }
        if let EventTarget::New { number: None, .. } = target {
            self.keys.add(KeyRange { first: task.unwrap_or_default(), count }, number);
        }
        Ok(())
    }

    /// Adds the keys of children that were created together, of which the first has this number.
    fn add_parts(&mut self, mut number: u32, parts: Vec<CreatedPart>) {
        for CreatedPart { count, first_keys } in parts {
            // A row whose key another program changed may say keys that others have.
            let keys = self.first_key(&first_keys).map(|first| KeyRange { first, count });
            match keys.filter(|keys| self.keys.are_free(*keys)) {
                Some(keys) => self.keys.add(keys, number),
                None => self.keys.mark_missing(number, count),
            }
            number += count;
        }
    }

    fn target(
        &mut self,
        tx: &mut dyn ReadTx,
        task: Option<TaskKey>,
        body: &EventBody,
        lookups: &Lookups,
    ) -> Result<EventTarget, EventError> {
        let Some(key) = task else { return Ok(EventTarget::Run) };
        if let EventBody::TaskCreated { parent, .. } | EventBody::TaskAdopted { parent, .. } = body {
            let parent = match parent {
                Some(parent) => Some(self.parent(tx, key, *parent, lookups)?),
                None => None,
            };
            return Ok(EventTarget::New { number: self.keys.number_of(key), parent });
        }
        match self.number_of(tx, key)? {
            Some(number) => Ok(EventTarget::Task(number)),
            None => Err(EventError::Contradiction(format!("{key} does not exist"))),
        }
    }

    /// The key of the first of tasks that were created together. Where another program changed some keys, the majority
    /// of the rows decides; in a tie, a key behind the earlier tasks comes first.
    fn first_key(&self, keys: &[FirstKey]) -> Option<TaskKey> {
        let weight = |first: &&FirstKey| {
            (first.rows, self.keys.is_behind_last(first.key), Reverse(first.key.0.cast_signed()))
        };
        keys.iter().max_by_key(weight).map(|first| first.key)
    }

    fn number_of(&mut self, tx: &mut dyn ReadTx, key: TaskKey) -> Result<Option<u32>, StoreError> {
        if let Some(number) = self.keys.number_of(key) {
            return Ok(Some(number));
        }
        // Children of which no row is left, or whose rows another program gave other keys: their own are those that are
        // missing around this one.
        let Some(lost) = tx.audit_keys(AuditKeys::Around(key))?.lost else { return Ok(None) };
        let is_leaf = |number| self.replay.task(number).is_some_and(|task| task.status.is_none());
        let taken = self.keys.take_missing(lost.count, is_leaf);
        let taken = taken.or_else(|| self.keys.take_moved(lost, is_leaf));
        let Some((number, count)) = taken else { return Ok(None) };
        self.keys.add(KeyRange { count, ..lost }, number);
        Ok(self.keys.number_of(key))
    }

    /// The number of a parent that the event of a child names by its id.
    fn parent(
        &mut self,
        tx: &mut dyn ReadTx,
        child: TaskKey,
        id: TaskId,
        lookups: &Lookups,
    ) -> Result<u32, StoreError> {
        if let Some((_, number)) = self.parent.filter(|(known, _)| *known == id) {
            return Ok(number);
        }
        let key = match lookups.parents.get(&id) {
            Some(key) => Some(*key),
            None => self.parent_of_row(tx, child)?,
        };
        let known = key.and_then(|key| self.keys.number_of(key)).or_else(|| self.keys.number_with_id(id));
        let number = known.unwrap_or_else(|| {
            let number = self.replay.reserve();
            if let Some(first) = key {
                self.keys.add(KeyRange { first, count: 1 }, number);
            }
            number
        });
        self.parent = Some((id, number));
        Ok(number)
    }

    /// The key of the parent of a task, according to the row of the task.
    fn parent_of_row(&self, tx: &mut dyn ReadTx, task: TaskKey) -> Result<Option<TaskKey>, StoreError> {
        let row = tx.audit_tasks(AuditTasks::Keys(&[task]))?.pop().map(|task| task.row);
        let row = row.filter(|row| row.run == self.run);
        Ok(row.and_then(|row| row.position.parent).filter(|parent| parent.0.cast_signed() > 0))
    }

    /// The id of the task with this number: from the events, or else from its row.
    pub(super) fn task_id(&self, tx: &mut dyn ReadTx, number: u32) -> Result<Option<TaskId>, StoreError> {
        if let Some(id) = self.keys.id_of(number) {
            return Ok(Some(id));
        }
        let Some(key) = self.keys.key_of(number) else { return Ok(None) };
        Ok(tx.audit_tasks(AuditTasks::Keys(&[key]))?.pop().and_then(|task| task.row.id))
    }
}
