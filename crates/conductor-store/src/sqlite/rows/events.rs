//! The event log. The same event of leaves is one row.

use crate::backend::{KeySet, NewEvent, OffsetSet, RunKey, TaskKey};
use crate::sqlite::connection::sql::{Result, insert_rows};
use crate::sqlite::rows::block;
use crate::sqlite::rows::columns::bad_row;
use crate::sqlite::rows::event_body::{code_of, payload};
use crate::sqlite::rows::keys::RowKey;
use conductor_model::{EventBody, Timestamp};
use rusqlite::Connection;
use std::collections::HashMap;
use std::fmt::Write as _;

/// The number of events that a row can have; the numbers of two rows differ by it.
pub(crate) const PER_ROW: u64 = OffsetSet::MAX as u64;

/// Appends one event of a run, or of one of its tasks.
pub(crate) fn record(
    connection: &Connection,
    run: RunKey,
    task: Option<TaskKey>,
    at: Timestamp,
    body: &EventBody,
) -> Result<()> {
    insert(connection, &[EventRow { task: task.map(TaskKey::row), ..EventRow::of(run, at, body)? }])
}

/// Appends events, in order.
pub(crate) fn append(connection: &Connection, events: &[NewEvent], at: Timestamp) -> Result<()> {
    let mut rows = Vec::with_capacity(events.len());
    for event in events {
        match event {
            NewEvent::Run(run, body) => rows.push(EventRow::of(*run, at, body)?),
            NewEvent::Task(run, task, body) => {
                rows.push(EventRow { task: Some(task.row()), ..EventRow::of(*run, at, body)? });
            }
            NewEvent::Leaves(run, sets, body) => EventRow::of(*run, at, body)?.push_leaves(sets, &mut rows),
        }
    }
    insert(connection, &rows)
}

/// A row, as it is inserted.
#[derive(Clone)]
struct EventRow {
    run: i64,
    code: i64,
    at: i64,
    count: u32,
    task: Option<i64>,
    tasks: Option<String>,
    payload: Option<String>,
}

fn insert(connection: &Connection, rows: &[EventRow]) -> Result<()> {
    insert_rows(connection, INSERT, rows, |row| {
        [&row.run, &row.code, &row.at, &row.count, &row.task, &row.tasks, &row.payload]
    })
}

impl EventRow {
    /// One event, without a task.
    fn of(run: RunKey, at: Timestamp, body: &EventBody) -> Result<Self> {
        let run_row = run.row();
        let code = code_of(body.name()).ok_or_else(|| bad_row("run", run_row, "an event has no number"))?;
        let (at, payload) = (at.as_millis(), payload(body)?);
        Ok(Self { run: run_row, code, at, count: 1, task: None, tasks: None, payload })
    }

    /// Adds as few rows as possible: each has up to 1,024 leaves.
    fn push_leaves(self, sets: &[KeySet], rows: &mut Vec<Self>) {
        let mut pending: Vec<KeySet> = Vec::new();
        let mut count = 0;
        for set in merged(sets) {
            let len = set.offsets.len();
            if count + len > u32::from(OffsetSet::MAX) {
                rows.extend(self.with_leaves(count, &pending));
                (count, pending) = (0, Vec::new());
            }
            count += len;
            pending.push(set);
        }
        rows.extend(self.with_leaves(count, &pending));
    }

    fn with_leaves(&self, count: u32, sets: &[KeySet]) -> Option<Self> {
        let first = sets.iter().find_map(|set| set.iter().next())?;
        Some(match count {
            1 => Self { task: Some(first.row()), ..self.clone() },
            _ => Self { count, tasks: Some(sets_text(sets)), ..self.clone() },
        })
    }
}

/// The same leaves in one set for each block: an operation may name them one by one, in any order, and their events are the
/// same. A leaf that is named twice has two events.
fn merged(sets: &[KeySet]) -> Vec<KeySet> {
    let mut merged: Vec<KeySet> = Vec::with_capacity(sets.len().min(16));
    let mut places: HashMap<TaskKey, usize> = HashMap::new();
    for set in sets {
        let known = places.get(&set.base).and_then(|place| merged.get_mut(*place));
        if let Some(known) = known.filter(|known| known.offsets.and(&set.offsets).is_empty()) {
            known.offsets = known.offsets.or(&set.offsets);
        } else {
            places.insert(set.base, merged.len());
            merged.push(*set);
        }
    }
    merged
}

/// How many pairs an array of the column `tasks` has at most. The view `events` adds up the counts of the pairs before one.
const PAIRS: usize = 32;

/// The column `tasks`.
pub(crate) fn sets_text(sets: &[KeySet]) -> String {
    let mut text = String::from("[");
    let mut place = 0;
    for set in sets {
        let (number, base) = block::place(set.base);
        for pairs in runs(&set.offsets).chunks(PAIRS) {
            let comma = if text.len() > 1 { "," } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}[{number},{place}");
            for (first, count) in pairs {
                let _ = write!(text, ",{},{count}", base + first);
                place += count;
            }
            text.push(']');
        }
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
pub(crate) fn read_sets(text: &str) -> Option<Vec<KeySet>> {
    let blocks: Vec<Vec<i64>> = serde_json::from_str(text).ok()?;
    let mut sets: Vec<KeySet> = Vec::with_capacity(blocks.len());
    let mut next = 0;
    for block in blocks {
        let [number, place, runs @ ..] = block.as_slice() else { return None };
        if *place != next {
            return None;
        }
        let mut offsets = OffsetSet::default();
        for run in runs.chunks(2) {
            let [first, count] = run else { return None };
            let last = u16::try_from(first.checked_add(*count)?.checked_sub(1)?).ok()?;
            let first = u16::try_from(*first).ok()?;
            if last < first || last >= OffsetSet::MAX {
                return None;
            }
            offsets = offsets.or(&OffsetSet::range(first, last));
            next += count;
        }
        sets.push(KeySet { base: block::task_key(*number, 0), offsets });
    }
    Some(sets)
}

/// The number of the event at a place in the row with this key.
pub(crate) fn seq_of(key: i64, place: u64) -> u64 {
    key.cast_unsigned().saturating_mul(PER_ROW).saturating_add(place)
}

const INSERT: &str = "INSERT INTO conductor_events (run, name, at, count, task, tasks, payload) \
    VALUES (?, ?, ?, ?, ?, ?, ?)";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(sets: &[KeySet]) -> Vec<TaskKey> {
        sets.iter().flat_map(KeySet::iter).collect()
    }

    proptest! {
        #[test]
        fn text_has_all_leaves_in_order(blocks in prop::collection::vec(prop::collection::btree_set(0_u16..1024, 0..600), 0..3)) {
            let set = |(number, offsets): (i64, std::collections::BTreeSet<u16>)| KeySet {
                base: block::task_key(number, 0),
                offsets: offsets.into_iter().collect(),
            };
            let sets: Vec<KeySet> = (7..).zip(blocks).map(set).collect();
            let text = sets_text(&sets);
            prop_assert_eq!(keys(&read_sets(&text).unwrap()), keys(&sets));
        }
    }

    fn leaf(block: i64, offset: u16) -> KeySet {
        KeySet { base: block::task_key(block, 0), offsets: OffsetSet::one(offset) }
    }

    proptest! {
        #[test]
        fn text_does_not_depend_on_order_of_leaves(leaves in prop::collection::vec(0_u16..1024, 1..200).prop_map(|mut leaves| {
            leaves.sort_unstable();
            leaves.dedup();
            leaves
        }).prop_shuffle()) {
            let single: Vec<KeySet> = leaves.iter().map(|offset| leaf(5, *offset)).collect();
            let whole = KeySet { base: block::task_key(5, 0), offsets: leaves.into_iter().collect() };
            prop_assert_eq!(sets_text(&merged(&single)), sets_text(&[whole]));
        }
    }

    #[test]
    fn leaves_of_each_block_are_merged() {
        let sets = [leaf(2, 1), leaf(7, 4), leaf(2, 0), leaf(7, 3), leaf(2, 2)];
        assert_eq!(sets_text(&merged(&sets)), "[[2,0,0,3],[7,3,3,2]]");
        let twice = [leaf(2, 1), leaf(2, 0), leaf(2, 1), leaf(2, 2)];
        assert_eq!(sets_text(&merged(&twice)), "[[2,0,0,2],[2,2,1,2]]");
    }

    #[test]
    fn long_set_has_several_arrays() {
        let offsets: OffsetSet = (0..33).map(|number| 2 * number).chain([67, 68]).collect();
        let text = sets_text(&[KeySet { base: block::task_key(5, 0), offsets }]);
        assert!(text.starts_with("[[5,0,0,1,2,1,"), "{text}");
        assert!(text.ends_with(",62,1],[5,32,64,1,67,2]]"), "{text}");
    }

    #[test]
    fn other_places_and_ranges_are_rejected() {
        assert!(read_sets("[[5,0,0,3],[5,3,9,1]]").is_some());
        for text in [
            "[[5]]",
            "[[5,1,0,3]]",
            "[[5,0,0,3],[5,2,9,1]]",
            "[[5,0,0]]",
            "[[5,0,1,1024]]",
            "[[5,0,1,0]]",
            "[",
        ] {
            assert!(read_sets(text).is_none(), "{text}");
        }
    }
}
