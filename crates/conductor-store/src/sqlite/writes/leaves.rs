//! Writes of leaves: from the place of one condition to that of another.

use crate::backend::{ClaimWrite, LeafStatus, LeafWrite, ProgressWrite, TaskGroup, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql, array, insert_rows};
use crate::sqlite::rows::columns::{bad_row, lease_losses_code};
use crate::sqlite::rows::conditions::sql;
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::parents::write_error;
use crate::sqlite::rows::range_rows::{Condition, is_range};
use crate::sqlite::work::leaves::BlockCache;
use conductor_model::{ErrorText, Timestamp};
use rusqlite::{Connection, params};

/// The longest output that is stored in the row of an ended leaf. Longer ones would slow down counts.
const SHORT_OUTPUT: usize = 100;

/// Writes the new status of leaves.
pub(crate) fn write(
    connection: &Connection,
    cache: &mut BlockCache,
    writes: &[LeafWrite<'_>],
    now: Timestamp,
) -> Result<()> {
    for write in writes {
        let TaskGroup { block, offsets, status } = &write.before;
        if is_range(status) {
            cache.ranges(block.base).remove(connection, *offsets, status)?;
            if write.clears_output {
                // Only an imported task has one.
                delete_outputs(connection, &write.before)?;
            }
        } else {
            delete_ended(connection, &write.before)?;
        }
        if is_range(&write.after) {
            let condition = Condition {
                status: write.after,
                engine: write.claim.map(|claim| claim.engine.row()),
                lease_until: write.claim.map(|claim: ClaimWrite| claim.lease_until),
                since: now,
            };
            cache.ranges(block.base).add(connection, *offsets, condition)?;
        } else {
            insert_ended(connection, write, now)?;
        }
        if let Some(error) = &write.error {
            write_errors(connection, &write.before, error)?;
        }
    }
    cache.save(connection)
}

/// Records the end of leaves. A leaf that has ended already breaks the constraint of the key.
fn insert_ended(connection: &Connection, write: &LeafWrite<'_>, now: Timestamp) -> Result<()> {
    let mut outputs = write.outputs.iter().peekable();
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for offset in write.before.offsets.iter() {
        let key = write.before.key(offset).row();
        match outputs.next_if(|(of, _)| *of == offset).map(|(_, output)| output.as_str()) {
            Some(output) if is_short(output) => with.push((key, Some(output))),
            output => {
                without.push(key);
                if let Some(output) = output {
                    insert_output(connection, key, output)?;
                }
            }
        }
    }
    insert_without_outputs(connection, &write.after, without, now)?;
    insert_with_outputs(connection, &write.after, &with, now)
}

/// Records the end of one leaf, with an output that is stored in its row.
pub(crate) fn insert_ended_leaf(
    connection: &Connection,
    status: &LeafStatus,
    (key, output): (i64, Option<&str>),
    at: Timestamp,
) -> Result<()> {
    insert_with_outputs(connection, status, &[(key, output)], at)
}

fn insert_without_outputs(
    connection: &Connection,
    after: &LeafStatus,
    keys: Vec<i64>,
    at: Timestamp,
) -> Result<()> {
    if !keys.is_empty() {
        let losses = after.lease_losses.map(lease_losses_code);
        let (state, at) = (after.state.code(), at.as_millis());
        let params = params![array(keys), at, state, after.attempt, after.retry_count, losses];
        connection.run(INSERT_ENDED, params)?;
    }
    Ok(())
}

fn insert_with_outputs(
    connection: &Connection,
    after: &LeafStatus,
    rows: &[(i64, Option<&str>)],
    at: Timestamp,
) -> Result<()> {
    let losses = after.lease_losses.map(lease_losses_code);
    let (state, at) = (after.state.code(), at.as_millis());
    insert_rows(connection, INSERT_WITH_OUTPUT, rows, |(key, output)| {
        [key, &at, &state, &after.attempt, &after.retry_count, &losses, output]
    })
}

/// Whether an output is stored in the row of an ended leaf.
pub(crate) fn is_short(output: &str) -> bool {
    output.len() <= SHORT_OUTPUT
}

/// Stores an output that is long, or that of an imported leaf which has not ended.
pub(crate) fn insert_output(connection: &Connection, task: i64, output: &str) -> Result<()> {
    connection.run(INSERT_OUTPUT, params![task, output]).map(drop)
}

/// Removes the end of leaves that are revived.
fn delete_ended(connection: &Connection, group: &TaskGroup) -> Result<()> {
    let deleted = connection.run(DELETE_ENDED, [array(group.keys().iter().map(TaskKey::row))])?;
    if deleted != group.len() as usize {
        return Err(bad_row("task", group.block.base.row(), "it has not ended"));
    }
    delete_outputs(connection, group)
}

fn delete_outputs(connection: &Connection, group: &TaskGroup) -> Result<()> {
    connection.run(DELETE_OUTPUTS, [array(group.keys().iter().map(TaskKey::row))]).map(drop)
}

fn write_errors(connection: &Connection, group: &TaskGroup, error: &ErrorText) -> Result<()> {
    for key in group.keys().iter() {
        write_error(connection, key.row(), Some(error))?;
    }
    Ok(())
}

/// Sets the time of leaves, and extends their leases.
pub(crate) fn refresh(
    connection: &Connection,
    cache: &mut BlockCache,
    leaves: &[TaskGroup],
    lease_until: Option<Timestamp>,
    now: Timestamp,
) -> Result<()> {
    for group in leaves {
        cache.ranges(group.block.base).refresh(connection, group, lease_until, now)?;
    }
    cache.save(connection)
}

/// Stores the progress of attempts, and removes that of attempts that are over.
pub(crate) fn write_progress(
    connection: &Connection,
    progress: &[ProgressWrite<'_>],
    now: Timestamp,
) -> Result<()> {
    for ProgressWrite { run, task, attempt, progress } in progress {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        connection.run(
            WRITE_PROGRESS,
            params![
                run.row(),
                task.row(),
                attempt,
                number(progress.done),
                progress.total.map(number),
                progress.message.as_str(),
                now.as_millis()
            ],
        )?;
    }
    connection.run(FORGET_PROGRESS, []).map(drop)
}

const DELETE_ENDED: &str = "DELETE FROM conductor_ended WHERE task IN rarray(?1)";
const DELETE_OUTPUTS: &str = "DELETE FROM conductor_outputs WHERE task IN rarray(?1)";
const INSERT_ENDED: &str = "INSERT INTO conductor_ended (task, at, state, attempt, retry_count, lease_losses) \
    SELECT value, ?2, ?3, ?4, ?5, ?6 FROM rarray(?1)";
const INSERT_WITH_OUTPUT: &str = "INSERT INTO conductor_ended \
    (task, at, state, attempt, retry_count, lease_losses, output) VALUES (?, ?, ?, ?, ?, ?, ?)";
const INSERT_OUTPUT: &str = "INSERT INTO conductor_outputs (task, output) VALUES (?1, ?2) \
    ON CONFLICT (task) DO UPDATE SET output = ?2";
const WRITE_PROGRESS: &str = "INSERT INTO conductor_progress (run, task, attempt, done, total, message, at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
    ON CONFLICT (run, task) DO UPDATE SET attempt = ?3, done = ?4, total = ?5, message = ?6, at = ?7";

/// Removes the progress of attempts that are over. It reads as many rows as there are tasks that report; settling a task
/// costs nothing for it. The bit of a task is in one of the two hexadecimal digits of its byte.
const FORGET_PROGRESS: &str = sql!("DELETE FROM conductor_progress AS reported WHERE NOT EXISTS ( \
    SELECT 1 FROM conductor_ranges g WHERE g.block = reported.task / 1024 AND " running " \
    AND g.attempt = reported.attempt AND reported.task % 1024 BETWEEN g.first AND g.last \
    AND (g.members IS NULL OR (instr('0123456789ABCDEF', \
        substr(hex(g.members), 2 + reported.task % 1024 / 8 * 2 - reported.task % 8 / 4, 1)) - 1) \
        >> (reported.task % 4) & 1))");
