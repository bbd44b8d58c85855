//! Runs and tasks with all that explains their states.

use super::leaf_states::{self, LeafState};
use super::tasks::BlockDetail;
use crate::backend::{ExplainDetail, ExplainRow, LeafDetail, OffsetSet, ParentKey, RunKey, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block;
use crate::sqlite::rows::columns;
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::parents::run_id;
use conductor_model::{EngineId, ErrorText, ExplainTarget, State, Timestamp};
use rusqlite::{Connection, Row};

/// See [`ReadTx::explain_rows`](crate::backend::ReadTx::explain_rows).
pub(crate) fn explain_rows(connection: &Connection, keys: &[ParentKey]) -> Result<Vec<Option<ExplainRow>>> {
    let read = |key: &ParentKey| match key.task {
        None => connection.first(SELECT_RUN, [key.run.row()], |row| explain_run(row, key.run)),
        Some(task) => explain_task(connection, task),
    };
    keys.iter().map(read).collect()
}

fn explain_run(row: &Row<'_>, run: RunKey) -> rusqlite::Result<ExplainRow> {
    Ok(ExplainRow {
        target: ExplainTarget::Run(run_id(row, 0)?),
        key: ParentKey::run(run),
        parent: None,
        state: columns::state(row, 1)?,
        created_at: columns::timestamp(row, 12)?,
        updated_at: columns::timestamp(row, 11)?,
        due_at: None,
        last_error: None,
        detail: ExplainDetail::Parent(columns::parent_status(row, columns::child_counts(row, 2)?, 8)?),
    })
}

fn explain_task(connection: &Connection, key: TaskKey) -> Result<Option<ExplainRow>> {
    let (number, offset) = block::place(key);
    let common = BlockDetail::read(connection, number)?;
    let Some(common) = common.filter(|common| offset < common.block.count) else { return Ok(None) };
    let block = &common.block;
    let own = if block.is_parent {
        connection.first(SELECT_PARENT, [key.row()], parent_row)?
    } else {
        leaf_row(connection, &common, offset)?
    };
    let Some(own) = own else { return Ok(None) };
    Ok(Some(ExplainRow {
        target: ExplainTarget::Task { id: block.id(offset), name: common.name(offset)? },
        key: ParentKey::task(block.run(), block.block.base.plus(offset)),
        parent: Some(block.parent()),
        state: own.state,
        created_at: common.created_at,
        updated_at: own.updated_at,
        due_at: own.due_at,
        last_error: leaf_states::last_error(connection, key)?.map(ErrorText::from),
        detail: own.detail,
    }))
}

/// What a task has of its own; its block has the rest.
struct TaskRow {
    state: State,
    updated_at: Timestamp,
    due_at: Option<Timestamp>,
    detail: ExplainDetail,
}

fn parent_row(row: &Row<'_>) -> rusqlite::Result<TaskRow> {
    Ok(TaskRow {
        state: columns::state(row, 0)?,
        updated_at: columns::timestamp(row, 1)?,
        due_at: columns::readable_due_at(row, 2)?,
        detail: ExplainDetail::Parent(columns::parent_status(row, columns::child_counts(row, 3)?, 9)?),
    })
}

fn leaf_row(connection: &Connection, common: &BlockDetail, offset: u16) -> Result<Option<TaskRow>> {
    let block = &common.block;
    let leaf = leaf_states::of(connection, block.number, &OffsetSet::one(offset), None)?.pop();
    let Some(LeafState { condition, .. }) = leaf else { return Ok(None) };
    let status = condition.status;
    let engine = match condition.engine {
        Some(engine) => connection.first(SELECT_ENGINE, [engine], |row| columns::id(row, 0))?,
        None => None,
    };
    Ok(Some(TaskRow {
        state: status.state,
        updated_at: condition.since,
        due_at: status.due_at,
        detail: ExplainDetail::Leaf(LeafDetail {
            kind: common.kind.clone(),
            attempt: status.attempt,
            retry_count: status.retry_count,
            max_retries: block.block.max_retries.get(),
            lease_until: condition.lease_until,
            engine: engine.map(EngineId::from_u128),
            lease_losses: status.lease_losses,
        }),
    }))
}

const SELECT_RUN: &str = "SELECT id, state, sealed, fanout, children, open_children, failed_children, \
    cancelled_children, policy, cancel_cause, join_open, updated_at, created_at FROM conductor_runs WHERE key = ?1";

const SELECT_PARENT: &str = "SELECT state, updated_at, due_at, sealed, fanout, children, open_children, \
    failed_children, cancelled_children, policy, cancel_cause, join_open FROM conductor_parents WHERE task = ?1";

const SELECT_ENGINE: &str = "SELECT id FROM conductor_engines WHERE key = ?1";
