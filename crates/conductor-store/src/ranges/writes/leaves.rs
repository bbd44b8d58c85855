//! Writes of leaves: from the place of one condition to that of another.

use crate::backend::{ClaimWrite, LeafWrite, ProgressWrite, TaskGroup, TaskKey};
use crate::ranges::rows::block::{self, BlockRow};
use crate::ranges::rows::parents::write_error;
use crate::ranges::rows::range_rows::{BlockRanges, Condition, is_range};
use crate::sqlite::connection::sql::{Result, Sql, array};
use crate::sqlite::rows::columns::{bad_row, lease_losses_code};
use crate::sqlite::rows::keys::RowKey;
use conductor_model::{ErrorText, Timestamp};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// The longest output that is stored in the row of an ended leaf. Longer ones would slow down counts.
const SHORT_OUTPUT: usize = 100;

/// The blocks that one call changes.
struct Blocks<'c> {
    connection: &'c Connection,
    ranges: BTreeMap<i64, BlockRanges>,
}

impl Blocks<'_> {
    fn ranges(&mut self, base: TaskKey) -> Result<&mut BlockRanges> {
        let (number, _) = block::place(base);
        match self.ranges.entry(number) {
            std::collections::btree_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::btree_map::Entry::Vacant(unknown) => {
                let row = block::by_number(self.connection, number)?;
                let row: BlockRow = row.ok_or_else(|| bad_row("block", number, "it is missing"))?;
                Ok(unknown.insert(BlockRanges::new(row)))
            }
        }
    }

    fn save(mut self) -> Result<()> {
        let connection = self.connection;
        self.ranges.values_mut().try_for_each(|ranges| ranges.save(connection))
    }
}

/// Writes the new status of leaves.
pub(in crate::ranges) fn write(
    connection: &Connection,
    writes: &[LeafWrite<'_>],
    now: Timestamp,
) -> Result<()> {
    let mut blocks = Blocks { connection, ranges: BTreeMap::new() };
    for write in writes {
        let TaskGroup { block, offsets, status } = &write.before;
        if is_range(status) {
            blocks.ranges(block.base)?.remove(connection, *offsets, status)?;
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
            blocks.ranges(block.base)?.add(connection, *offsets, condition)?;
        } else {
            insert_ended(connection, write, now)?;
        }
        if let Some(error) = &write.error {
            write_errors(connection, &write.before, error)?;
        }
    }
    blocks.save()
}

/// Records the end of leaves. A leaf that has ended already breaks the constraint of the key.
fn insert_ended(connection: &Connection, write: &LeafWrite<'_>, now: Timestamp) -> Result<()> {
    let mut statement = connection.cached(INSERT_ENDED)?;
    let mut outputs = write.outputs.iter().peekable();
    let after = &write.after;
    for offset in write.before.offsets.iter() {
        let key = write.before.key(offset).row();
        let output = outputs.next_if(|(of, _)| *of == offset).map(|(_, output)| output.as_str());
        let short = output.filter(|output| output.len() <= SHORT_OUTPUT);
        statement
            .execute(params![
                key,
                now.as_millis(),
                after.state.code(),
                after.attempt,
                after.retry_count,
                after.lease_losses.map(lease_losses_code),
                short
            ])
            .map_err(crate::sqlite::connection::sql::fault)?;
        if let Some(output) = output.filter(|_| short.is_none()) {
            connection.run(INSERT_OUTPUT, params![key, output])?;
        }
    }
    Ok(())
}

/// Removes the end of leaves that are revived.
fn delete_ended(connection: &Connection, group: &TaskGroup) -> Result<()> {
    let keys = array(group.keys().iter().map(TaskKey::row));
    let deleted = connection.run(DELETE_ENDED, [&keys])?;
    if deleted != group.len() as usize {
        return Err(bad_row("task", group.block.base.row(), "it has not ended"));
    }
    connection.run(DELETE_OUTPUTS, [&keys]).map(drop)
}

fn write_errors(connection: &Connection, group: &TaskGroup, error: &ErrorText) -> Result<()> {
    for key in group.keys().iter() {
        write_error(connection, key.row(), Some(error))?;
    }
    Ok(())
}

/// Sets the time of leaves, and extends their leases.
pub(in crate::ranges) fn refresh(
    connection: &Connection,
    leaves: &[TaskGroup],
    lease_until: Option<Timestamp>,
    now: Timestamp,
) -> Result<()> {
    let mut blocks = Blocks { connection, ranges: BTreeMap::new() };
    for group in leaves {
        blocks.ranges(group.block.base)?.refresh(connection, group, lease_until, now)?;
    }
    blocks.save()
}

/// Stores the progress of attempts, and removes that of attempts that are over.
pub(in crate::ranges) fn write_progress(
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
    Ok(())
}

const DELETE_ENDED: &str = "DELETE FROM conductor_ended WHERE task IN rarray(?1)";
const DELETE_OUTPUTS: &str = "DELETE FROM conductor_outputs WHERE task IN rarray(?1)";
const INSERT_ENDED: &str = "INSERT INTO conductor_ended (task, at, state, attempt, retry_count, lease_losses, output) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const INSERT_OUTPUT: &str = "INSERT INTO conductor_outputs (task, output) VALUES (?1, ?2)";
const WRITE_PROGRESS: &str = "INSERT INTO conductor_progress (run, task, attempt, done, total, message, at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
    ON CONFLICT (run, task) DO UPDATE SET attempt = ?3, done = ?4, total = ?5, message = ?6, at = ?7";
