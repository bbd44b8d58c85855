//! Rows of parents and runs.

use crate::NodeId;
use crate::backend::{
    CorruptParent, ParentColumns, ParentKey, ParentNode, ParentRow, ParentWrite, ReadParent, RunKey,
};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block::{KEYS, base_id};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::columns::reason;
use crate::sqlite::rows::conditions::sql;
use crate::sqlite::rows::keys::{self, RowKey};
use conductor_model::{
    CancelCause, ChildCounts, ErrorText, Json, RunId, State, StateCounts, TaskId, Timestamp,
};
use rusqlite::{Connection, Row, params};

/// The columns of [`read_parent`].
macro_rules! parent_columns {
    () => {
        "t.task, b.prefix, b.low, t.run, b.parent, b.child_index, t.state, t.due_at, t.sealed, t.fanout, t.children, \
         t.open_children, t.failed_children, t.cancelled_children, t.policy, t.cancel_cause, t.join_open, t.swept"
    };
}
pub(crate) use parent_columns;

/// How many columns [`parent_columns`] names.
pub(crate) const PARENT_COLUMNS: usize = 18;

/// Reads a parent or a run by its key.
pub(crate) fn parent(connection: &Connection, key: ParentKey) -> Result<ReadParent> {
    let Some(task) = key.task else { return run(connection, key.run) };
    let read = connection.first(SELECT_PARENT, [task.row()], |row| Ok(read_parent(row, 0)));
    let missing = || Err(CorruptParent { key, node: None, reason: "it is not a parent".into() });
    Ok(read?.unwrap_or_else(missing))
}

/// A parent from [`parent_columns`].
pub(crate) fn read_parent(row: &Row<'_>, column: usize) -> ReadParent {
    let run = keys::key(row, column + 3).unwrap_or_default();
    let key = ParentKey::task(run, keys::key(row, column).unwrap_or_default());
    let corrupt = |node, error| CorruptParent { key, node, reason: reason(error) };
    let node = parent_node(row, column, key).map_err(|error| corrupt(None, error))?;
    let read = || {
        Ok(ParentRow {
            node,
            status: columns::parent_status(row, columns::child_counts(row, column + 8)?, column + 14)?,
            swept: columns::swept_through(row, column + 17)?,
            deadline: None,
            state_counts: StateCounts::default(),
        })
    };
    read().map_err(|error| corrupt(Some(Box::new(node)), error))
}

fn parent_node(row: &Row<'_>, column: usize, key: ParentKey) -> rusqlite::Result<ParentNode> {
    let prefix = row.get_ref(column + 1)?.as_str()?;
    Ok(ParentNode {
        key,
        id: NodeId::Task(TaskId::from_u128(base_id(prefix, row.get(column + 2)?, column + 1)?)),
        above: Some(keys::parent_key(key.run, row, column + 4)?),
        index: row.get(column + 5)?,
        state: columns::state(row, column + 6)?,
        due_at: columns::readable_due_at(row, column + 7)?,
    })
}

/// The id of a run.
pub(crate) fn run_id(row: &Row<'_>, column: usize) -> rusqlite::Result<RunId> {
    columns::text::<RunId>(row, column)?.ok_or_else(|| columns::unreadable(column, "it has no id"))
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
                    id: NodeId::Run(run_id(row, 0)?),
                    above: None,
                    index: 0,
                    state: columns::state(row, 1)?,
                    due_at: None,
                },
                status: columns::parent_status(row, columns::child_counts(row, 2)?, 8)?,
                swept: columns::swept_through(row, 11)?,
                deadline: columns::readable_due_at(row, 17)?,
                state_counts: columns::state_counts(row, 12)?,
            })
        };
        Ok(read().map_err(|error| corrupt(reason(error))))
    })?;
    Ok(read.unwrap_or_else(|| Err(corrupt("its row is missing".into()))))
}

/// Writes a parent or a run.
pub(crate) fn write(connection: &Connection, write: &ParentWrite, now: Timestamp) -> Result<()> {
    match write.row.node.key.task {
        Some(_) => write_parent(connection, write, now),
        None => write_run(connection, &write.row, now),
    }
}

/// Writes the counts of a parent or a run of which nothing else changed: fewer indexes have columns that are written.
pub(crate) fn write_counts(connection: &Connection, row: &ParentRow, now: Timestamp) -> Result<()> {
    let ParentRow { node, status, state_counts, .. } = row;
    let ChildCounts { created, open, failed, cancelled, .. } = status.counts;
    let now = now.as_millis();
    let ParentKey { run, task } = node.key;
    if let Some(task) = task {
        let params = params![task.row(), now, created, open, failed, cancelled];
        return connection.run(COUNT_CHILDREN, params).map(drop);
    }
    let params = params![
        run.row(),
        now,
        created,
        open,
        failed,
        cancelled,
        state_counts.pending.cast_signed(),
        state_counts.running.cast_signed(),
        state_counts.succeeded.cast_signed(),
        state_counts.failed.cast_signed(),
        state_counts.cancelled.cast_signed(),
    ];
    connection.run(COUNT_TASKS, params).map(drop)
}

fn write_parent(connection: &Connection, write: &ParentWrite, now: Timestamp) -> Result<()> {
    let ParentRow { node, status, swept, .. } = write.row;
    let ChildCounts { total, created, open, failed, cancelled } = status.counts;
    let task = keys::parent_column(node.key.task);
    connection.run(
        UPDATE_PARENT,
        params![
            task,
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
            due_at(&node),
            write.output.as_ref().map(Json::as_str),
            write.clears_output,
        ],
    )?;
    write_error(connection, task, write.error.as_ref())
}

/// Only a PENDING parent waits for a time. Another program may have written one to any row.
fn due_at(node: &ParentNode) -> Option<i64> {
    node.due_at.filter(|_| node.state == State::Pending).map(Timestamp::as_millis)
}

/// Stores the last error of a task.
pub(crate) fn write_error(connection: &Connection, task: i64, error: Option<&ErrorText>) -> Result<()> {
    match error {
        Some(error) => connection.run(WRITE_ERROR, params![task, error.as_str()]).map(drop),
        None => Ok(()),
    }
}

/// Writes only the columns that do not depend on the rest of the row, which is invalid.
pub(crate) fn write_corrupt_parent(
    connection: &Connection,
    write: &ParentWrite,
    now: Timestamp,
) -> Result<()> {
    let node = write.row.node;
    let task = keys::parent_column(node.key.task);
    connection
        .run(UPDATE_CORRUPT_PARENT, params![task, now.as_millis(), node.state.code(), due_at(&node)])?;
    write_error(connection, task, write.error.as_ref())
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

/// The block of the key of a task.
macro_rules! join_block {
    () => {
        " FROM conductor_parents t LEFT JOIN conductor_blocks b ON b.block = t.task / 1024 "
    };
}
pub(crate) use join_block;
const _: () = assert!(KEYS == 1024, "`join_block` divides by it");

pub(crate) const SELECT_PARENT: &str =
    concat!("SELECT ", parent_columns!(), join_block!(), "WHERE t.task = ?1");

const SELECT_RUN: &str = "SELECT id, state, sealed, fanout, children, open_children, failed_children, \
    cancelled_children, policy, cancel_cause, join_open, swept, pending, running, succeeded, failed, cancelled, deadline \
    FROM conductor_runs WHERE key = ?1";

const UPDATE_PARENT: &str = "UPDATE conductor_parents SET updated_at = ?2, sealed = ?3, fanout = ?4, children = ?5, \
    open_children = ?6, failed_children = ?7, cancelled_children = ?8, cancel_cause = ?9, swept = ?10, \
    join_open = ?11, state = ?12, due_at = ?13, output = CASE WHEN ?15 THEN NULL ELSE coalesce(?14, output) END \
    WHERE task = ?1";

const COUNT_CHILDREN: &str = "UPDATE conductor_parents SET updated_at = ?2, children = ?3, open_children = ?4, \
    failed_children = ?5, cancelled_children = ?6 WHERE task = ?1";

const COUNT_TASKS: &str = "UPDATE conductor_runs SET updated_at = ?2, children = ?3, open_children = ?4, \
    failed_children = ?5, cancelled_children = ?6, pending = ?7, running = ?8, succeeded = ?9, failed = ?10, \
    cancelled = ?11 WHERE key = ?1";

/// SQLite checks the constraints of the columns that are written here, and not of the others.
const UPDATE_CORRUPT_PARENT: &str =
    "UPDATE conductor_parents SET updated_at = ?2, state = ?3, due_at = ?4 WHERE task = ?1";

const WRITE_ERROR: &str = "INSERT INTO conductor_errors (task, error) VALUES (?1, ?2) \
    ON CONFLICT (task) DO UPDATE SET error = ?2";

const UPDATE_RUN: &str = "UPDATE conductor_runs SET state = ?2, updated_at = ?3, sealed = ?4, fanout = ?5, \
    children = ?6, open_children = ?7, failed_children = ?8, cancelled_children = ?9, pending = ?10, running = ?11, \
    succeeded = ?12, failed = ?13, cancelled = ?14, cancel_cause = ?15, swept = ?16, join_open = ?17, deadline = ?18 \
    WHERE key = ?1";

const FAIL_RUN: &str =
    sql!("UPDATE conductor_runs SET state = ?3, updated_at = ?2 WHERE key = ?1 AND " open_run);
