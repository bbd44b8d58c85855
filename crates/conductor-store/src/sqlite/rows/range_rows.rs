//! Rows of `conductor_ranges`: sets of leaves of one block in the same condition.

use crate::backend::{LeafStatus, OffsetSet, TaskGroup};
use crate::sqlite::connection::sql::{Result, Sql, insert_rows};
use crate::sqlite::rows::block::{self, BlockRow};
use crate::sqlite::rows::columns::reason;
use crate::sqlite::rows::columns::{self, bad_row, lease_losses_code};
use crate::sqlite::rows::keys;
use crate::sqlite::rows::set::SetColumns;
use conductor_model::{State, Timestamp};
use rusqlite::{Connection, Row, params};
use std::collections::HashSet;

/// What the leaves of a row share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) status: LeafStatus,
    /// The key of the engine that claimed them.
    pub(crate) engine: Option<i64>,
    pub(crate) lease_until: Option<Timestamp>,
    /// When they came into this condition.
    pub(crate) since: Timestamp,
}

/// A row; without a key, it is not stored yet.
#[derive(Clone, Debug)]
pub(crate) struct RangeRow {
    pub(crate) key: Option<i64>,
    pub(crate) set: OffsetSet,
    pub(crate) condition: Condition,
    is_changed: bool,
}

/// The columns of [`RangeRow::read`].
macro_rules! range_columns {
    () => {
        "g.key, g.first, g.last, g.members, g.state, g.due_at, g.attempt, g.retry_count, g.lease_losses, g.engine, \
         g.lease_until, g.since"
    };
}
pub(crate) use range_columns;

/// How many columns [`range_columns`] names.
pub(crate) const RANGE_COLUMNS: usize = 12;

/// A row that another program damaged.
#[derive(Clone, Debug)]
pub(crate) struct BrokenRange {
    pub(crate) key: i64,
    /// Its leaves; `None` if its columns contradict each other in this.
    pub(crate) set: Option<OffsetSet>,
    pub(crate) reason: String,
}

/// A row, or what can be read of it.
pub(crate) type ReadRange = std::result::Result<RangeRow, BrokenRange>;

/// Reads [`range_columns`] from this column on, as far as they can be read.
pub(crate) fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<ReadRange> {
    let key = row.get(column)?;
    Ok(RangeRow::read(row, column).map_err(|error| BrokenRange {
        key,
        set: SetColumns::read(row, column + 1).ok().and_then(|columns| columns.set()),
        reason: reason(error),
    }))
}

impl RangeRow {
    /// Reads [`range_columns`] from this column on.
    fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<Self> {
        let set = SetColumns::read(row, column + 1)?.set();
        let set =
            set.ok_or_else(|| columns::unreadable(column + 1, "it has another set of tasks than it says"))?;
        let lease_until = columns::readable_due_at(row, column + 10)?;
        let status = LeafStatus {
            state: columns::state(row, column + 4)?,
            due_at: columns::readable_due_at(row, column + 5)?,
            attempt: row.get(column + 6)?,
            retry_count: row.get(column + 7)?,
            lease_losses: columns::lease_losses(row, column + 8)?,
            is_claimed: lease_until.is_some(),
        };
        let condition = Condition {
            status,
            engine: row.get(column + 9)?,
            lease_until,
            since: columns::timestamp(row, column + 11)?,
        };
        Ok(Self { key: row.get(column)?, set, condition, is_changed: false })
    }
}

/// Whether leaves in this condition are in `conductor_ranges`, and not in `conductor_ended`.
pub(crate) fn is_range(status: &LeafStatus) -> bool {
    match status.state {
        State::Pending | State::Running | State::Cancelled => true,
        State::Failed => status.due_at.is_some(),
        State::Succeeded => false,
    }
}

/// Reads the rows of a block in one state with one due time. Those that another program damaged are left out.
pub(crate) fn of_state(
    connection: &Connection,
    block: i64,
    (state, due_at): (State, Option<Timestamp>),
) -> Result<Vec<RangeRow>> {
    let time = due_at.map(Timestamp::as_millis);
    // A time that another program wrote out of range was read as the nearest that is in range.
    let sql = match due_at {
        Some(Timestamp::MIN) => OF_STATE_UP_TO,
        Some(Timestamp::MAX) => OF_STATE_FROM,
        _ => OF_STATE,
    };
    let rows = connection.all(sql, params![block, state.code(), time], |row| read(row, 0))?;
    Ok(rows.into_iter().flatten().collect())
}

/// Reads the rows of a block.
pub(crate) fn of_block(connection: &Connection, block: i64) -> Result<Vec<ReadRange>> {
    connection.all(OF_BLOCK, [block], |row| read(row, 0))
}

/// Writes the set of a row. Its other columns may be damaged: SQLite checks the constraints of the columns that are written.
/// A row without a leaf is deleted.
pub(crate) fn write_set(connection: &Connection, key: i64, set: &OffsetSet) -> Result<()> {
    if set.is_empty() {
        return delete(connection, key);
    }
    let set = SetColumns::of(set);
    connection.run(UPDATE_SET, params![key, set.first, set.last, set.members]).map(drop)
}

/// Deletes a row.
pub(crate) fn delete(connection: &Connection, key: i64) -> Result<()> {
    connection.run(DELETE, [key]).map(drop)
}

/// The rows of a block in some states, as a transaction changes them.
pub(crate) struct BlockRanges {
    block: i64,
    /// The states and due times whose rows were read. A block can have a thousand rows that wait for times of their own.
    read: HashSet<(State, Option<Timestamp>)>,
    rows: Vec<RangeRow>,
    is_changed: bool,
}

impl BlockRanges {
    pub(crate) fn new(block: i64) -> Self {
        Self { block, read: HashSet::new(), rows: Vec::new(), is_changed: false }
    }

    /// Reads the rows in a state with a due time at their first use. Returns all rows that were read.
    pub(crate) fn load(
        &mut self,
        connection: &Connection,
        state: State,
        due_at: Option<Timestamp>,
    ) -> Result<&[RangeRow]> {
        if self.read.insert((state, due_at)) {
            self.rows.extend(of_state(connection, self.block, (state, due_at))?);
        }
        Ok(&self.rows)
    }

    /// Removes leaves from the rows that have them in this condition. Fails if one of them is in no such row: the end of a
    /// leaf is recorded once.
    pub(crate) fn remove(
        &mut self,
        connection: &Connection,
        mut leaves: OffsetSet,
        status: &LeafStatus,
    ) -> Result<()> {
        self.load(connection, status.state, status.due_at)?;
        self.is_changed = true;
        for row in self.rows.iter_mut().filter(|row| row.condition.status == *status) {
            let found = row.set.and(&leaves);
            if !found.is_empty() {
                (row.set, row.is_changed) = (row.set.without(&found), true);
                leaves = leaves.without(&found);
            }
        }
        match leaves.iter().next() {
            None => Ok(()),
            Some(offset) => {
                let key = block::task_key(self.block, offset);
                Err(bad_row("task", key.0.cast_signed(), "it is not in the condition that was read"))
            }
        }
    }

    /// Adds leaves to the row in this condition.
    pub(crate) fn add(
        &mut self,
        connection: &Connection,
        leaves: OffsetSet,
        condition: Condition,
    ) -> Result<()> {
        self.load(connection, condition.status.state, condition.status.due_at)?;
        self.is_changed = true;
        match self.rows.iter_mut().find(|row| row.condition == condition) {
            Some(row) => (row.set, row.is_changed) = (row.set.or(&leaves), true),
            None => self.rows.push(RangeRow { key: None, set: leaves, condition, is_changed: true }),
        }
        Ok(())
    }

    /// Notes a sign of life of leaves, and extends the lease of those that are claimed.
    pub(crate) fn refresh(
        &mut self,
        connection: &Connection,
        leaves: &TaskGroup,
        lease_until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<()> {
        self.load(connection, leaves.status.state, leaves.status.due_at)?;
        let mut refreshed = Vec::new();
        for row in self.rows.iter_mut().filter(|row| row.condition.status == leaves.status) {
            let found = row.set.and(&leaves.offsets);
            if !found.is_empty() {
                (row.set, row.is_changed) = (row.set.without(&found), true);
                let lease_until = row.condition.lease_until.map(|old| lease_until.unwrap_or(old));
                refreshed.push((found, Condition { lease_until, since: now, ..row.condition }));
            }
        }
        refreshed.into_iter().try_for_each(|(found, condition)| self.add(connection, found, condition))
    }

    /// Writes the rows that changed.
    pub(crate) fn save(&mut self, connection: &Connection) -> Result<()> {
        if !std::mem::take(&mut self.is_changed) {
            return Ok(());
        }
        // A row that was emptied is used again for one that is new: most transitions change a whole row.
        let emptied = self.rows.iter().filter(|row| row.set.is_empty());
        let mut free: Vec<i64> = emptied.filter_map(|row| row.key).collect();
        self.rows.retain(|row| !row.set.is_empty());
        for row in self.rows.iter_mut().filter(|row| row.is_changed) {
            row.is_changed = false;
            if let Some(key) = row.key {
                write_set(connection, key, &row.set)?;
            } else if let Some(key) = free.pop() {
                write(connection, REPLACE, key, row)?;
                row.key = Some(key);
            } else {
                if write(connection, INSERT, self.block, row)? == 0 {
                    return Err(bad_row("block", self.block, "it is missing"));
                }
                row.key = Some(connection.last_insert_rowid());
            }
        }
        free.into_iter().try_for_each(|key| delete(connection, key))
    }
}

/// Writes a row. ?1 is its key, or the number of the block of a new row.
fn write(connection: &Connection, sql: &str, first: i64, row: &RangeRow) -> Result<usize> {
    let Condition { status, engine, lease_until, since } = row.condition;
    let set = SetColumns::of(&row.set);
    let params = params![
        first,
        set.first,
        set.last,
        set.members,
        status.state.code(),
        status.due_at.map(Timestamp::as_millis),
        status.attempt,
        status.retry_count,
        status.lease_losses.map(lease_losses_code),
        engine,
        lease_until.map(Timestamp::as_millis),
        since.as_millis(),
    ];
    connection.run(sql, params)
}

/// Inserts the leaves of new blocks, all PENDING, each until its time.
pub(crate) fn insert(
    connection: &Connection,
    blocks: &[(BlockRow, Option<Timestamp>)],
    now: Timestamp,
) -> Result<()> {
    struct Row {
        last: u16,
        due_at: Option<i64>,
        run: i64,
        parent: i64,
    }
    let rows = blocks.iter().map(|(block, due_at)| {
        let (run, parent) = keys::parent_columns(block.parent());
        (block, Row { last: block.count - 1, due_at: due_at.map(Timestamp::as_millis), run, parent })
    });
    let (rows, since): (Vec<_>, _) = (rows.collect(), now.as_millis());
    insert_rows(connection, INSERT_BLOCK, &rows, |(block, Row { last, due_at, run, parent })| {
        [&block.number, last, due_at, &since, run, parent, &block.kind, &block.priority]
    })
}

const OF_BLOCK: &str = concat!("SELECT ", range_columns!(), " FROM conductor_ranges g WHERE g.block = ?1");
const OF_STATE: &str = concat!(
    "SELECT ",
    range_columns!(),
    " FROM conductor_ranges g WHERE g.block = ?1 AND g.state = ?2 AND g.due_at IS ?3"
);
const OF_STATE_UP_TO: &str = concat!(
    "SELECT ",
    range_columns!(),
    " FROM conductor_ranges g WHERE g.block = ?1 AND g.state = ?2 AND g.due_at <= ?3"
);
const OF_STATE_FROM: &str = concat!(
    "SELECT ",
    range_columns!(),
    " FROM conductor_ranges g WHERE g.block = ?1 AND g.state = ?2 AND g.due_at >= ?3"
);
const UPDATE_SET: &str = "UPDATE conductor_ranges SET first = ?2, last = ?3, members = ?4 WHERE key = ?1";
const DELETE: &str = "DELETE FROM conductor_ranges WHERE key = ?1";
const INSERT_BLOCK: &str = "INSERT INTO conductor_ranges (block, first, last, state, due_at, attempt, retry_count, since, \
    run, parent, kind, priority) VALUES (?, 0, ?, 0, ?, 0, 0, ?, ?, ?, ?, ?)";
const INSERT: &str = "INSERT INTO conductor_ranges (block, first, last, members, state, due_at, attempt, retry_count, \
    lease_losses, engine, lease_until, since, run, parent, kind, priority) \
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, run, parent, kind, priority \
    FROM conductor_blocks WHERE block = ?1";
/// Another row of the same block.
const REPLACE: &str = "UPDATE conductor_ranges SET first = ?2, last = ?3, members = ?4, state = ?5, due_at = ?6, \
    attempt = ?7, retry_count = ?8, lease_losses = ?9, engine = ?10, lease_until = ?11, since = ?12 WHERE key = ?1";

#[cfg(test)]
mod tests;
