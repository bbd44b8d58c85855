//! The event log. The same event of leaves is one row.

use crate::StoreError;
use crate::backend::{KeySet, NewEvent, OffsetSet, TaskKey};
use crate::ranges::rows::block;
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::columns::bad_row;
use crate::sqlite::rows::events::{code_of, payload};
use crate::sqlite::rows::keys::RowKey;
use conductor_model::Timestamp;
use rusqlite::{Connection, params};
use std::fmt::Write as _;

/// The number of events that a row can have; the numbers of two rows differ by it.
pub(in crate::ranges) const PER_ROW: u64 = OffsetSet::MAX as u64;

/// Appends events, in order.
pub(in crate::ranges) fn append(connection: &Connection, events: &[NewEvent], at: Timestamp) -> Result<()> {
    for event in events {
        let (run, body) = match event {
            NewEvent::Run(run, body) | NewEvent::Task(run, _, body) | NewEvent::Leaves(run, _, body) => {
                (run.row(), body)
            }
        };
        let code = code_of(body.name()).ok_or_else(|| bad_row("run", run, "an event has no number"))?;
        let payload = payload(body)?;
        let row = EventRow { connection, run, code, at: at.as_millis(), payload: payload.as_deref() };
        match event {
            NewEvent::Run(..) => row.insert(1, None, None)?,
            NewEvent::Task(_, task, _) => row.insert(1, Some(*task), None)?,
            NewEvent::Leaves(_, sets, _) => row.insert_leaves(sets)?,
        }
    }
    Ok(())
}

struct EventRow<'a> {
    connection: &'a Connection,
    run: i64,
    code: i64,
    at: i64,
    payload: Option<&'a str>,
}

impl EventRow<'_> {
    fn insert(&self, count: u32, task: Option<TaskKey>, tasks: Option<&str>) -> Result<()> {
        let EventRow { connection, run, code, at, payload } = self;
        let params = params![run, code, at, count, task.map(TaskKey::row), tasks, payload];
        connection.run(INSERT, params).map(drop)
    }

    /// Inserts as few rows as possible: each has up to 1,024 leaves.
    fn insert_leaves(&self, sets: &[KeySet]) -> Result<()> {
        let mut pending: Vec<KeySet> = Vec::new();
        let mut count = 0;
        for set in sets {
            let len = set.offsets.len();
            if count + len > u32::from(OffsetSet::MAX) {
                self.insert_sets(count, &pending)?;
                (count, pending) = (0, Vec::new());
            }
            count += len;
            pending.push(*set);
        }
        self.insert_sets(count, &pending)
    }

    fn insert_sets(&self, count: u32, sets: &[KeySet]) -> Result<()> {
        match (count, sets.first().and_then(|set| set.iter().next())) {
            (0, _) | (_, None) => Ok(()),
            (1, task) => self.insert(1, task, None),
            _ => self.insert(count, None, Some(&sets_text(sets))),
        }
    }
}

/// The column `tasks`.
pub(in crate::ranges) fn sets_text(sets: &[KeySet]) -> String {
    let mut text = String::from("[");
    for set in sets.iter().filter(|set| !set.offsets.is_empty()) {
        let (number, base) = block::place(set.base);
        let comma = if text.len() > 1 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}[{number}");
        for (first, count) in runs(&set.offsets) {
            let _ = write!(text, ",{},{count}", base + first);
        }
        text.push(']');
    }
    text.push(']');
    text
}

/// Offsets that follow each other: the first, and how many.
fn runs(set: &OffsetSet) -> Vec<(u16, u16)> {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for offset in set.iter() {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == offset => *count += 1,
            _ => runs.push((offset, 1)),
        }
    }
    runs
}

/// The leaves of the column `tasks`; `None` if it is not what [`sets_text`] writes.
pub(in crate::ranges) fn read_sets(text: &str) -> Option<Vec<KeySet>> {
    let blocks: Vec<Vec<i64>> = serde_json::from_str(text).ok()?;
    let mut sets = Vec::with_capacity(blocks.len());
    for block in blocks {
        let (number, runs) = block.split_first()?;
        let mut offsets = OffsetSet::default();
        for run in runs.chunks(2) {
            let [first, count] = run else { return None };
            let last = u16::try_from(first.checked_add(*count)?.checked_sub(1)?).ok()?;
            let first = u16::try_from(*first).ok()?;
            if last < first || last >= OffsetSet::MAX {
                return None;
            }
            offsets = offsets.or(&OffsetSet::range(first, last));
        }
        sets.push(KeySet { base: block::task_key(*number, 0), offsets });
    }
    Some(sets)
}

/// The number of the last event that can be before the row with this key.
pub(in crate::ranges) fn seq_of(key: i64, place: u64) -> u64 {
    key.cast_unsigned().saturating_mul(PER_ROW).saturating_add(place)
}

/// No number, as an error of a row that another program changed.
pub(in crate::ranges) fn bad_tasks(key: i64) -> StoreError {
    bad_row("event", key, "its tasks cannot be read")
}

const INSERT: &str = "INSERT INTO conductor_events (run, name, at, count, task, tasks, payload) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
