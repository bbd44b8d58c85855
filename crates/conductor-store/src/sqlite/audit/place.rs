//! Puts a leaf into one place, wherever it is.

use crate::backend::{LeafStatus, OffsetSet, TaskColumns, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block::{self, BlockRow};
use crate::sqlite::rows::columns::lease_losses_code;
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::parents::write_error;
use crate::sqlite::rows::places::Places;
use crate::sqlite::rows::range_rows::{self, BlockRanges, Condition, is_range};
use conductor_model::{ErrorText, LeaseLosses, State, Timestamp};
use rusqlite::{Connection, params};

/// Puts a leaf into the place of this condition, and into no other.
pub(super) fn put(
    connection: &Connection,
    block: &BlockRow,
    offset: u16,
    mut condition: Condition,
) -> Result<()> {
    let key = block::task_key(block.number, offset);
    (condition.status.lease_losses, _) = take_out(connection, key)?;
    if is_range(&condition.status) {
        connection.run("DELETE FROM conductor_ended WHERE task = ?1", [key.row()])?;
        connection.run("DELETE FROM conductor_outputs WHERE task = ?1", [key.row()])?;
        let mut ranges = BlockRanges::new(block.number);
        ranges.add(connection, OffsetSet::one(offset), condition)?;
        ranges.save(connection)?;
    } else {
        put_ended(connection, key, &condition.status, condition.since)?;
    }
    remove_unused(connection, block)
}

/// The condition that columns say; `None` if they say none that a leaf can be in.
pub(super) fn condition(columns: &TaskColumns, now: Timestamp) -> Option<Condition> {
    let time = |millis: Option<i64>| millis.map(Timestamp::from_millis).transpose().ok();
    let lease_until = time(columns.lease_until)?;
    let status = LeafStatus {
        state: State::from_code(columns.state)?,
        due_at: time(columns.due_at)?,
        attempt: u32::try_from(columns.attempt).ok()?,
        retry_count: u32::try_from(columns.retry_count).ok()?,
        lease_losses: None,
        is_claimed: lease_until.is_some(),
    };
    Some(Condition { status, engine: columns.engine, lease_until, since: now })
}

/// Takes a leaf out of all rows of `conductor_ranges` that are known to have it. Returns what the first says of its leases, and
/// the largest attempt.
fn take_out(connection: &Connection, key: TaskKey) -> Result<(Option<LeaseLosses>, u32)> {
    let (number, offset) = block::place(key);
    let leaf = OffsetSet::one(offset);
    let (mut losses, mut attempt) = (None, 0);
    for row in range_rows::of_block(connection, number)? {
        let (key, set) = match row {
            Ok(row) => {
                if row.set.contains(offset) {
                    losses = losses.or(row.condition.status.lease_losses);
                    attempt = row.condition.status.attempt.max(attempt);
                }
                (row.key, Some(row.set))
            }
            Err(broken) => (Some(broken.key), broken.set),
        };
        if let (Some(key), Some(set)) = (key, set.filter(|set| set.contains(offset))) {
            range_rows::write_set(connection, key, &set.without(&leaf))?;
        }
    }
    Ok((losses, attempt))
}

/// Writes the end of a leaf. An earlier end keeps its output.
fn put_ended(connection: &Connection, key: TaskKey, status: &LeafStatus, now: Timestamp) -> Result<()> {
    let params = params![
        key.row(),
        now.as_millis(),
        status.state.code(),
        status.attempt,
        status.retry_count,
        status.lease_losses.map(lease_losses_code),
    ];
    connection.run(PUT_ENDED, params).map(drop)
}

/// Deletes the rows whose sets cannot be read, once each leaf of the block is in another place.
fn remove_unused(connection: &Connection, block: &BlockRow) -> Result<()> {
    let places = Places::read(connection, block.number, &OffsetSet::default())?;
    places.unused(block.count).into_iter().try_for_each(|key| range_rows::delete(connection, key))
}

/// Takes a task out of the places of leaves. What belongs to it as a parent stays.
pub(super) fn remove_leaf(connection: &Connection, key: TaskKey) -> Result<()> {
    take_out(connection, key)?;
    connection.run("DELETE FROM conductor_ended WHERE task = ?1", [key.row()]).map(drop)
}

/// Takes a leaf out of all places, with all that it has but its input.
pub(super) fn remove(connection: &Connection, key: TaskKey) -> Result<()> {
    remove_leaf(connection, key)?;
    connection.run("DELETE FROM conductor_outputs WHERE task = ?1", [key.row()])?;
    connection.run("DELETE FROM conductor_errors WHERE task = ?1", [key.row()]).map(drop)
}

/// Takes a leaf out of all places, and ends it as FAILED. A leaf whose block is missing must be in a place: else it is no
/// leaf. Returns whether it was one.
pub(super) fn fail(connection: &Connection, key: TaskKey, error: &ErrorText, now: Timestamp) -> Result<bool> {
    let (number, _) = block::place(key);
    let block = block::read_by_number(connection, number)?;
    let is_leaf = match &block {
        Some(Ok(row)) => !row.is_parent || is_placed(connection, key)?,
        Some(Err(_)) => !has_parent_row(connection, key)?,
        None => is_placed(connection, key)?,
    };
    if !is_leaf {
        return Ok(false);
    }
    // The largest that a place says: a fence of an earlier claim must not become valid again.
    let (lease_losses, attempt) = take_out(connection, key)?;
    let of_end: Option<Option<u32>> =
        connection.first(ATTEMPT_OF_END, [key.row()], |row| Ok(row.get(0).ok()))?;
    let attempt = attempt.max(of_end.flatten().unwrap_or_default());
    let status = LeafStatus {
        state: State::Failed,
        due_at: None,
        attempt,
        retry_count: 0,
        lease_losses,
        is_claimed: false,
    };
    put_ended(connection, key, &status, now)?;
    write_error(connection, key.row(), Some(error))?;
    if let Some(Ok(row)) = block {
        remove_unused(connection, &row)?;
    }
    Ok(true)
}

/// Whether a leaf is in a place.
fn is_placed(connection: &Connection, key: TaskKey) -> Result<bool> {
    let (number, offset) = block::place(key);
    Ok(Places::read(connection, number, &OffsetSet::one(offset))?.placed().contains(offset))
}

fn has_parent_row(connection: &Connection, key: TaskKey) -> Result<bool> {
    let sql = "SELECT 1 FROM conductor_parents WHERE task = ?1";
    Ok(connection.first(sql, [key.row()], |_| Ok(()))?.is_some())
}

const PUT_ENDED: &str = "INSERT INTO conductor_ended (task, at, state, attempt, retry_count, lease_losses) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (task) DO UPDATE SET \
    at = ?2, state = ?3, attempt = ?4, retry_count = ?5, lease_losses = ?6";

const ATTEMPT_OF_END: &str = "SELECT attempt FROM conductor_ended WHERE task = ?1";
