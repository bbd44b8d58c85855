//! The places of the leaves of one block, as they are, and the leaves that another program damaged.
//!
//! Each leaf is in exactly one place: a row of `conductor_ranges`, or one of `conductor_ended`. So a leaf is damaged that is
//! in none, in two, or in a row that cannot be read. A row whose set cannot be read has the leaves that are in no other
//! place: no leaf is damaged whose own place is intact.

use crate::backend::{CorruptTask, LeafStatus, OffsetSet, TaskGroup, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block::{self, BlockRow, KEYS, ReadBlock};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::columns::reason;
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::range_rows::{self, RangeRow, ReadRange};
use crate::sqlite::rows::set::in_order;
use conductor_model::State;
use rusqlite::{Connection, Row};

/// The places of the leaves of one block.
pub(crate) struct Places {
    ranges: Vec<ReadRange>,
    /// The status of leaves that ended by themselves; or why it cannot be read.
    ended: Vec<(u16, std::result::Result<LeafStatus, String>)>,
}

impl Places {
    /// Reads the places of these leaves. Of the leaves that have ended, it reads no others.
    pub(crate) fn read(connection: &Connection, block: i64, within: &OffsetSet) -> Result<Self> {
        let ranges = range_rows::of_block(connection, block)?;
        // Which leaves are in a row without a set, all others say.
        let has_unknown = ranges.iter().any(|row| row.as_ref().is_err_and(|broken| broken.set.is_none()));
        let all = OffsetSet::first(OffsetSet::MAX);
        let within = if has_unknown { &all } else { within };
        let ended = ended(connection, block, within, |row| Ok(ended_status(row, 1).map_err(reason)))?;
        Ok(Self { ranges, ended })
    }

    /// The rows of `conductor_ranges` that can be read.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = &RangeRow> {
        self.ranges.iter().flatten()
    }

    /// The leaves that ended by themselves, as far as they can be read.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (u16, LeafStatus)> {
        self.ended.iter().filter_map(|(offset, status)| Some((*offset, *status.as_ref().ok()?)))
    }

    /// The leaves that are in a place.
    pub(crate) fn placed(&self) -> OffsetSet {
        self.sets().fold(OffsetSet::default(), |all, set| all.or(&set))
    }

    fn sets(&self) -> impl Iterator<Item = OffsetSet> {
        let of_range = |row: &ReadRange| match row {
            Ok(row) => Some(row.set),
            Err(broken) => broken.set,
        };
        let ended = self.ended.iter().map(|(offset, _)| OffsetSet::one(*offset));
        self.ranges.iter().filter_map(of_range).chain(ended)
    }

    /// The leaves that are in no place, or in a row whose set cannot be read.
    pub(crate) fn missing(&self, count: u16) -> OffsetSet {
        OffsetSet::first(count).without(&self.placed())
    }

    /// The leaves in more than one place.
    pub(crate) fn in_two(&self) -> OffsetSet {
        let (mut once, mut twice) = (OffsetSet::default(), OffsetSet::default());
        for set in self.sets() {
            twice = twice.or(&once.and(&set));
            once = once.or(&set);
        }
        twice
    }

    /// The damaged leaves of a block of so many, and the damage. No leaf is named twice.
    pub(crate) fn damaged(&self, count: u16) -> Vec<(OffsetSet, String)> {
        let mut damaged = Damaged { known: OffsetSet::default(), sets: Vec::new() };
        damaged.add(&self.in_two(), "it is in two places");
        for broken in self.ranges.iter().filter_map(|row| row.as_ref().err()) {
            damaged.add(&broken.set.unwrap_or_else(|| self.missing(count)), &broken.reason);
        }
        for (offset, status) in &self.ended {
            if let Err(reason) = status {
                damaged.add(&OffsetSet::one(*offset), reason);
            }
        }
        damaged.add(&self.missing(count), "it is in no place");
        let beyond = self.placed().without(&OffsetSet::first(count));
        damaged.add(&beyond, &format!("its block has only {count} tasks"));
        damaged.sets
    }

    /// The rows that have no leaf that anything tells of.
    pub(crate) fn unused(&self, count: u16) -> Vec<i64> {
        let is_empty = self.missing(count).is_empty();
        let unknown = self.ranges.iter().filter_map(|row| row.as_ref().err());
        unknown.filter(|broken| is_empty && broken.set.is_none()).map(|broken| broken.key).collect()
    }
}

/// Damaged leaves, each with the first damage that was found.
struct Damaged {
    known: OffsetSet,
    sets: Vec<(OffsetSet, String)>,
}

impl Damaged {
    fn add(&mut self, set: &OffsetSet, reason: &str) {
        let new = set.without(&self.known);
        if !new.is_empty() {
            self.known = self.known.or(&new);
            self.sets.push((new, reason.to_owned()));
        }
    }
}

/// The leaves of a block that ended by themselves, in order. `read` gets seven columns: the key, the four of
/// [`ended_status`], the time, and a short output.
pub(crate) fn ended<T>(
    connection: &Connection,
    block: i64,
    within: &OffsetSet,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<(u16, T)>> {
    let (Some(first), Some(last)) = (within.iter().next(), within.last()) else { return Ok(Vec::new()) };
    let keys = [block::task_key(block, first).row(), block::task_key(block, last).row()];
    let mut ended = connection.all(ENDED, keys, |row| {
        let (_, offset) = block::place(TaskKey::of_row(row.get(0)?));
        Ok((offset, read(row)?))
    })?;
    ended.retain(|(offset, _)| within.contains(*offset));
    Ok(ended)
}

/// Which of some leaves have ended by themselves.
pub(crate) fn ended_of(connection: &Connection, block: i64, of: &OffsetSet) -> Result<OffsetSet> {
    Ok(ended(connection, block, of, |_| Ok(()))?.into_iter().map(|(offset, ())| offset).collect())
}

/// Whether one of these leaves runs or has ended.
pub(crate) fn runs_or_ended(connection: &Connection, block: i64, of: &OffsetSet) -> Result<bool> {
    let running = range_rows::of_state(connection, block, (State::Running, None))?;
    Ok(running.iter().any(|row| !row.set.and(of).is_empty()) || !ended_of(connection, block, of)?.is_empty())
}

/// Four columns: state, attempt, `retry_count`, `lease_losses`.
pub(crate) fn ended_status(row: &Row<'_>, column: usize) -> rusqlite::Result<LeafStatus> {
    let state = columns::state(row, column)?;
    if !matches!(state, State::Succeeded | State::Failed) {
        return Err(columns::unreadable(column, format_args!("{state:?} is no end")));
    }
    Ok(LeafStatus {
        state,
        due_at: None,
        attempt: row.get(column + 1)?,
        retry_count: row.get(column + 2)?,
        lease_losses: columns::lease_losses(row, column + 3)?,
        is_claimed: false,
    })
}

/// The offset behind the last task of a block that has a row of its own or is in a place; 0 if none is.
pub(crate) fn behind_last(connection: &Connection, block: i64) -> Result<u16> {
    let places = Places::read(connection, block, &OffsetSet::first(OffsetSet::MAX))?;
    if let Some(last) = places.placed().last() {
        return Ok(last + 1);
    }
    let parent = connection.first(PARENT, [block::task_key(block, 0).row()], |_| Ok(()))?;
    Ok(parent.map_or(0, |()| 1))
}

/// Leaves of one block that a step found in some rows.
#[derive(Default)]
pub(crate) struct Found {
    /// Those that are intact, in order.
    pub(crate) groups: Vec<TaskGroup>,
    /// The others, in order.
    pub(crate) corrupt: Vec<CorruptTask>,
    /// How many there are of both.
    pub(crate) count: u32,
}

/// The oldest leaves of rows of one block, at most `limit`. The block is `None` if its row is missing.
///
/// Rows of which nothing tells which leaves they have are deleted: steps would find them again and again.
pub(crate) fn oldest(
    connection: &Connection,
    (number, block): (i64, Option<&ReadBlock>),
    rows: &[ReadRange],
    limit: u32,
) -> Result<Found> {
    let known = |row: &ReadRange| row.as_ref().map_or_else(|broken| broken.set, |row| Some(row.set));
    let all = rows.iter().filter_map(known).fold(OffsetSet::default(), |all, set| all.or(&set));
    let row = match block {
        Some(Ok(row)) if !row.is_parent => row,
        _ => return oldest_without_block(connection, (number, block), rows, all.smallest(limit)),
    };
    let has_unknown = rows.iter().any(|row| known(row).is_none());
    let places = Places::read(connection, number, &if has_unknown { all } else { all.smallest(limit) })?;
    for key in places.unused(row.count) {
        range_rows::delete(connection, key)?;
    }
    let all = if has_unknown { all.or(&places.missing(row.count)) } else { all };
    let oldest = all.smallest(limit);
    let mut found = Found { count: oldest.len(), ..Found::default() };
    let mut intact = oldest;
    for (set, reason) in places.damaged(row.count) {
        let of_damage = set.and(&oldest);
        intact = intact.without(&of_damage);
        found.corrupt.extend(of_damage.iter().map(|offset| corrupt(row, offset, &reason)));
    }
    let rows: Vec<&RangeRow> = rows.iter().flatten().collect();
    found.groups = groups_of(row, &rows, &intact);
    Ok(found)
}

/// The oldest leaves of rows of one block that are known to be intact, at most `limit`.
pub(crate) fn smallest(block: &BlockRow, rows: &[&RangeRow], limit: u32) -> Found {
    let all = rows.iter().fold(OffsetSet::default(), |all, row| all.or(&row.set));
    let oldest = all.smallest(limit);
    Found { groups: groups_of(block, rows, &oldest), corrupt: Vec::new(), count: oldest.len() }
}

/// The leaves of rows, in order.
fn groups_of(block: &BlockRow, rows: &[&RangeRow], within: &OffsetSet) -> Vec<TaskGroup> {
    let sets: Vec<OffsetSet> = rows.iter().map(|row| row.set.and(within)).collect();
    let group = |(place, offsets): (usize, OffsetSet)| {
        let status = rows[place].condition.status;
        TaskGroup { block: block.block, offsets, status }
    };
    in_order(&sets).into_iter().map(group).filter(|group| !group.is_empty()).collect()
}

/// All leaves are damaged whose block cannot be read, or is that of a parent.
fn oldest_without_block(
    connection: &Connection,
    (number, block): (i64, Option<&ReadBlock>),
    rows: &[ReadRange],
    oldest: OffsetSet,
) -> Result<Found> {
    let is_number = (1..=i64::MAX / KEYS).contains(&number);
    for row in rows {
        match row {
            Err(broken) if broken.set.is_none() || !is_number => range_rows::delete(connection, broken.key)?,
            Ok(RangeRow { key: Some(key), .. }) if !is_number => range_rows::delete(connection, *key)?,
            _ => {}
        }
    }
    if !is_number {
        // No task can have such a key.
        return Ok(Found::default());
    }
    let task = |offset: u16| match block {
        Some(Ok(row)) => corrupt(row, offset, "its block is that of a parent"),
        Some(Err(block)) => block.task(offset),
        None => {
            let key = block::task_key(number, offset);
            CorruptTask { key, index: u32::MAX, reason: "the row of its block is missing".into() }
        }
    };
    Ok(Found { groups: Vec::new(), corrupt: oldest.iter().map(task).collect(), count: oldest.len() })
}

/// A damaged leaf.
pub(crate) fn corrupt(row: &BlockRow, offset: u16, reason: &str) -> CorruptTask {
    CorruptTask { key: row.block.base.plus(offset), index: row.index(offset), reason: reason.to_owned() }
}

const PARENT: &str = "SELECT 1 FROM conductor_parents WHERE task = ?1";

const ENDED: &str = "SELECT task, state, attempt, retry_count, lease_losses, at, output FROM conductor_ended \
    WHERE task BETWEEN ?1 AND ?2 ORDER BY task";
