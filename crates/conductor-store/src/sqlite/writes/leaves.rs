//! Writes of leaves.

use crate::backend::{CorruptTask, LeafWrite, ProgressWrite, TaskGroup, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql, array};
use crate::sqlite::rows::columns::lease_losses_code;
use crate::sqlite::rows::{conditions::sql, keys::RowKey};
use conductor_model::{ErrorText, State, Timestamp};
use rusqlite::{Connection, ToSql, params};

/// Writes the new status of leaves. Neighbors with the same status share a statement.
pub(crate) fn write(connection: &Connection, writes: &[LeafWrite<'_>], now: Timestamp) -> Result<()> {
    for alike in writes.chunk_by(are_alike) {
        write_alike(connection, alike, now)?;
    }
    Ok(())
}

fn are_alike(left: &LeafWrite<'_>, right: &LeafWrite<'_>) -> bool {
    left.after == right.after
        && left.claim == right.claim
        && left.clears_output == right.clears_output
        && left.error == right.error
}

fn write_alike(connection: &Connection, writes: &[LeafWrite<'_>], now: Timestamp) -> Result<()> {
    let Some(LeafWrite { after, claim, clears_output, error, .. }) = writes.first() else { return Ok(()) };
    let claim = claim.map(|claim| (claim.lease_until.as_millis(), claim.engine.row()));
    let write = |sql, keys: &dyn ToSql, output: &dyn ToSql| {
        let params = params![
            keys,
            after.state.code(),
            now.as_millis(),
            after.due_at.map(Timestamp::as_millis),
            after.attempt,
            after.retry_count,
            claim.map(|(lease_until, _)| lease_until),
            claim.map(|(_, engine)| engine),
            after.lease_losses.map(lease_losses_code),
            error.as_ref().map(ErrorText::as_str),
            output
        ];
        connection.run(sql, params)
    };
    let mut keys = Vec::new();
    for leaf in writes {
        let mut outputs = leaf.outputs.iter().peekable();
        for offset in leaf.before.offsets.iter() {
            let key = leaf.before.key(offset).row();
            match outputs.next_if(|(of, _)| *of == offset) {
                Some((_, output)) => drop(write(WRITE_LEAF, &key, &output.as_str())?),
                None => keys.push(key),
            }
        }
    }
    if !keys.is_empty() {
        write(WRITE_LEAVES, &array(keys), clears_output)?;
    }
    Ok(())
}

/// Sets the update time of leaves, and extends their leases.
pub(crate) fn refresh(
    connection: &Connection,
    leaves: &[TaskGroup],
    lease_until: Option<Timestamp>,
    now: Timestamp,
) -> Result<()> {
    let keys = leaves.iter().flat_map(|group| group.keys().iter()).map(TaskKey::row);
    let params = params![array(keys), lease_until.map(Timestamp::as_millis), now.as_millis()];
    connection.run(REFRESH, params).map(drop)
}

/// Fails a task whose own row cannot be read. It writes the state only, because the counts to change are unknown.
pub(crate) fn fail_corrupt(connection: &Connection, task: &CorruptTask, now: Timestamp) -> Result<()> {
    let error = format!("its row was changed: {}", task.reason);
    let params = params![task.key.row(), now.as_millis(), error, State::Failed.code()];
    connection.run(FAIL_CORRUPT, params).map(drop)
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

macro_rules! set_status {
    () => {
        "SET state = ?2, updated_at = ?3, due_at = ?4, attempt = ?5, retry_count = ?6, lease_until = ?7, \
         holder = ?8, lost = ?9, last_error = coalesce(?10, last_error)"
    };
}

/// One statement for all transitions of leaves.
pub(crate) const WRITE_LEAVES: &str = sql!("UPDATE conductor_tasks " (set_status!()) ", \
    output = CASE WHEN ?11 THEN NULL ELSE output END WHERE key IN rarray(?1)");
/// The same for one leaf with an output.
pub(crate) const WRITE_LEAF: &str =
    sql!("UPDATE conductor_tasks " (set_status!()) ", output = ?11 WHERE key = ?1");

pub(crate) const REFRESH: &str = "UPDATE conductor_tasks SET lease_until = coalesce(?2, lease_until), updated_at = ?3 \
    WHERE key IN rarray(?1)";

/// SQLite checks the constraints of the columns that are written here, and not of the others.
pub(crate) const FAIL_CORRUPT: &str = "UPDATE conductor_tasks SET state = ?4, updated_at = ?2, due_at = NULL, \
    lease_until = NULL, holder = NULL, last_error = ?3 WHERE key = ?1";

const WRITE_PROGRESS: &str = "INSERT INTO conductor_progress (run, task, attempt, done, total, message, at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
    ON CONFLICT (run, task) DO UPDATE SET attempt = ?3, done = ?4, total = ?5, message = ?6, at = ?7";

/// Removes the progress of attempts that are over. It reads as many rows as there are tasks that report; settling a task
/// costs nothing for it.
const FORGET_PROGRESS: &str = sql!("DELETE FROM conductor_progress AS reported WHERE NOT EXISTS ( \
    SELECT 1 FROM conductor_tasks t WHERE t.key = reported.task AND " running " AND t.attempt = reported.attempt)");
