//! Rows of parents and runs.

use crate::backend::{
    CorruptParent, ParentColumns, ParentKey, ParentNode, ParentRow, ParentWrite, ReadParent, RunKey,
};
use crate::sqlite::connection::sql::{Result, Sql, fault};
use crate::sqlite::rows::keys::{self, RowKey};
use crate::sqlite::rows::{columns, conditions::sql};
use crate::{NodeId, StoreError};
use conductor_model::{
    CancelCause, ChildCounts, ErrorText, Json, RunId, State, StateCounts, TaskId, Timestamp,
};
use rusqlite::{Connection, Row, params};

/// The columns of [`read_parent`], from the first on.
macro_rules! parent_columns {
    () => {
        "t.key, t.id, t.run, t.parent, t.ordinal, t.state, t.due_at, t.sealed, t.fanout, t.children, \
         t.open_children, t.failed_children, t.cancelled_children, t.policy, t.mark, t.joining, t.swept"
    };
}
pub(crate) use parent_columns;

/// Reads a parent by its key.
pub(crate) fn parent(connection: &Connection, key: ParentKey) -> Result<ReadParent> {
    let Some(task) = key.task else { return run(connection, key.run) };
    let read = connection.first(SELECT_PARENT, [task.row()], |row| Ok(read_parent(row, 0)));
    let missing = || Err(CorruptParent { key, node: None, reason: "it is not a parent".into() });
    Ok(read?.unwrap_or_else(missing))
}

/// A parent from [`parent_columns`].
pub(crate) fn read_parent(row: &Row<'_>, column: usize) -> ReadParent {
    let run = keys::key(row, column + 2).unwrap_or_default();
    let key = ParentKey::task(run, keys::key(row, column).unwrap_or_default());
    let corrupt = |node, error| CorruptParent { key, node, reason: reason(error) };
    let node = parent_node(row, column, key).map_err(|error| corrupt(None, error))?;
    let read = || {
        let counts = columns::child_counts(row, column + 7)?;
        let counts = counts.ok_or_else(|| columns::unreadable(column + 7, "it is not a parent"))?;
        Ok(ParentRow {
            node,
            status: columns::parent_status(row, counts, column + 13)?,
            swept: columns::swept_through(row, column + 16)?,
            deadline: None,
            state_counts: StateCounts::default(),
        })
    };
    read().map_err(|error| corrupt(Some(Box::new(node)), error))
}

fn parent_node(row: &Row<'_>, column: usize, key: ParentKey) -> rusqlite::Result<ParentNode> {
    Ok(ParentNode {
        key,
        id: NodeId::Task(TaskId::from_u128(columns::id(row, column + 1)?)),
        above: Some(keys::parent_key(key.run, row, column + 3)?),
        index: row.get::<_, i64>(column + 4)?.try_into().unwrap_or(u32::MAX),
        state: columns::state(row, column + 5)?,
        due_at: columns::readable_due_at(row, column + 6)?,
    })
}

/// Reads a run by its key.
pub(crate) fn run(connection: &Connection, key: RunKey) -> Result<ReadParent> {
    let parent = ParentKey::run(key);
    let corrupt = |reason: String| CorruptParent { key: parent, node: None, reason };
    let read = connection.first(SELECT_RUN, [key.row()], |row| {
        let read = || {
            Ok(ParentRow {
                node: ParentNode {
                    key: parent,
                    id: NodeId::Run(RunId::from_u128(columns::id(row, 0)?)),
                    above: None,
                    index: 0,
                    state: columns::state(row, 1)?,
                    due_at: None,
                },
                status: columns::parent_status(row, columns::run_child_counts(row, 2)?, 8)?,
                swept: columns::swept_through(row, 11)?,
                deadline: columns::readable_due_at(row, 17)?,
                state_counts: columns::state_counts(row, 12)?,
            })
        };
        Ok(read().map_err(|error| corrupt(reason(error))))
    })?;
    Ok(read.unwrap_or_else(|| Err(corrupt("its row is missing".into()))))
}

/// The reason of an error in a row.
pub(crate) fn reason(error: rusqlite::Error) -> String {
    match fault(error) {
        StoreError::CorruptRow { reason, .. } => reason,
        other => other.to_string(),
    }
}

/// Writes a parent or a run.
pub(crate) fn write(connection: &Connection, write: &ParentWrite, now: Timestamp) -> Result<()> {
    match write.row.node.key.task {
        Some(_) => write_parent(connection, write, now),
        None => write_run(connection, &write.row, now),
    }
}

fn write_parent(connection: &Connection, write: &ParentWrite, now: Timestamp) -> Result<()> {
    let ParentRow { node, status, swept, .. } = write.row;
    let ChildCounts { total, created, open, failed, cancelled } = status.counts;
    connection.run(
        UPDATE_PARENT,
        params![
            keys::parent_column(node.key.task),
            now.as_millis(),
            i64::from(total.is_some()),
            total,
            created,
            open,
            failed,
            cancelled,
            status.cancel_cause.map(CancelCause::code),
            status.cancel_cause.map(|_| swept),
            ParentColumns::join_open_of(status.join),
            node.state.code(),
            node.due_at.map(Timestamp::as_millis),
            write.output.as_ref().map(Json::as_str),
            write.error.as_ref().map(ErrorText::as_str),
            write.clears_output,
        ],
    )?;
    Ok(())
}

/// Writes only the columns that do not depend on the rest of the row, which is invalid.
pub(crate) fn write_corrupt_parent(
    connection: &Connection,
    write: &ParentWrite,
    now: Timestamp,
) -> Result<()> {
    let node = write.row.node;
    connection.run(
        UPDATE_CORRUPT_PARENT,
        params![
            keys::parent_column(node.key.task),
            now.as_millis(),
            node.state.code(),
            node.due_at.map(Timestamp::as_millis),
            write.error.as_ref().map(ErrorText::as_str),
        ],
    )?;
    Ok(())
}

fn write_run(connection: &Connection, row: &ParentRow, now: Timestamp) -> Result<()> {
    let ParentRow { node, status, swept, deadline, state_counts } = *row;
    let ChildCounts { total, created, open, failed, cancelled } = status.counts;
    connection.run(
        UPDATE_RUN,
        params![
            node.key.run.row(),
            node.state.code(),
            now.as_millis(),
            i64::from(total.is_some()),
            total,
            created,
            open,
            failed,
            cancelled,
            state_counts.pending.cast_signed(),
            state_counts.running.cast_signed(),
            state_counts.succeeded.cast_signed(),
            state_counts.failed.cast_signed(),
            state_counts.cancelled.cast_signed(),
            status.cancel_cause.map(CancelCause::code),
            status.cancel_cause.map(|_| swept),
            ParentColumns::join_open_of(status.join),
            deadline.map(Timestamp::as_millis),
        ],
    )?;
    Ok(())
}

/// Fails a run whose row cannot be read: its state is written, and nothing else.
pub(crate) fn fail_corrupt_run(connection: &Connection, run: RunKey, now: Timestamp) -> Result<bool> {
    Ok(connection.run(FAIL_RUN, params![run.row(), now.as_millis(), State::Failed.code()])? > 0)
}

pub(crate) const SELECT_PARENT: &str =
    sql!("SELECT " (parent_columns!()) " FROM conductor_tasks t WHERE t.key = ?1");

pub(crate) const SELECT_RUN: &str = "SELECT id, state, sealed, fanout, children, open_children, failed_children, \
    cancelled_children, policy, mark, joining, swept, pending, running, succeeded, failed, cancelled, deadline \
    FROM conductor_runs WHERE key = ?1";

pub(crate) const UPDATE_PARENT: &str = "UPDATE conductor_tasks SET updated_at = ?2, sealed = ?3, fanout = ?4, \
    children = ?5, open_children = ?6, failed_children = ?7, cancelled_children = ?8, mark = ?9, swept = ?10, \
    joining = ?11, state = ?12, due_at = ?13, output = CASE WHEN ?16 THEN NULL ELSE coalesce(?14, output) END, \
    last_error = coalesce(?15, last_error) WHERE key = ?1";

/// SQLite checks the constraints of the columns that are written here, and not of the others.
pub(crate) const UPDATE_CORRUPT_PARENT: &str = "UPDATE conductor_tasks SET updated_at = ?2, state = ?3, \
    due_at = ?4, last_error = coalesce(?5, last_error) WHERE key = ?1";

pub(crate) const UPDATE_RUN: &str = "UPDATE conductor_runs SET state = ?2, updated_at = ?3, sealed = ?4, \
    fanout = ?5, children = ?6, open_children = ?7, failed_children = ?8, cancelled_children = ?9, pending = ?10, \
    running = ?11, succeeded = ?12, failed = ?13, cancelled = ?14, mark = ?15, swept = ?16, joining = ?17, \
    deadline = ?18 WHERE key = ?1";

pub(crate) const FAIL_RUN: &str =
    sql!("UPDATE conductor_runs SET state = ?3, updated_at = ?2 WHERE key = ?1 AND " open_run);
