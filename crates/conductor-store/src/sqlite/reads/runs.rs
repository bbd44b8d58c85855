//! Runs, as readers see them.

use crate::backend::{Rows, RunKey, RunsWanted};
use crate::sqlite::connection::sql::{Result, Sql, fault};
use crate::sqlite::rows::columns::{
    cancel_cause, child_counts, due_at, policy, state, state_counts, text, timestamp, unreadable,
};
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::parents::run_id;
use conductor_model::{IdempotencyKey, Join, Json, Kind, Run, TaskId};
use rusqlite::{Connection, Row};
use std::ops::ControlFlow;

/// The columns of [`run_record`].
const SELECT_RUNS: &str = "SELECT r.id, r.state, r.sealed, r.fanout, r.children, r.open_children, \
    r.failed_children, r.cancelled_children, r.pending, r.running, r.succeeded, r.failed, r.cancelled, \
    r.created_at, r.updated_at, s.meta, s.idempotency_key, r.key, r.policy, r.cancel_cause, r.deadline, j.id, k.name \
    FROM conductor_runs r LEFT JOIN conductor_submissions s ON s.run = r.key \
    LEFT JOIN conductor_joins j ON r.join_open IS NOT NULL AND j.run = r.key AND j.parent = 0 \
    LEFT JOIN conductor_kinds k ON k.key = j.kind";

/// See [`ReadTx::runs`](crate::backend::ReadTx::runs).
pub(crate) fn runs(connection: &Connection, wanted: RunsWanted, limit: u32) -> Result<Rows<Run>> {
    let mut page = Rows { items: Vec::new(), more: false };
    let visit = |row: &Row<'_>| {
        if page.items.len() == limit as usize {
            page.more = true;
            return Ok(ControlFlow::Break(()));
        }
        page.items.push(run_record(row).map_err(fault)?);
        Ok(ControlFlow::Continue(()))
    };
    match wanted {
        RunsWanted::Id(id) => {
            connection.each(&format!("{SELECT_RUNS} WHERE r.id = ?1"), [id.to_string()], visit)?;
        }
        RunsWanted::After(after) => {
            let sql = format!("{SELECT_RUNS} WHERE r.key > ?1 ORDER BY r.key");
            connection.each(&sql, [after.map_or(0, RunKey::row)], visit)?;
        }
    }
    Ok(page)
}

fn run_record(row: &Row<'_>) -> rusqlite::Result<Run> {
    Ok(Run {
        id: run_id(row, 0)?,
        state: state(row, 1)?,
        child_counts: child_counts(row, 2)?,
        state_counts: state_counts(row, 8)?,
        created_at: timestamp(row, 13)?,
        updated_at: timestamp(row, 14)?,
        meta: text::<Json>(row, 15)?,
        idempotency_key: text::<IdempotencyKey>(row, 16)?,
        policy: policy(row, 18)?,
        cancel_cause: cancel_cause(row, 19)?,
        deadline: due_at(row, 20)?,
        join: join(row, 21)?,
    })
}

/// The join of a run or a parent; two columns: its id and the name of its kind.
pub(super) fn join(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Join>> {
    let Some(id) = text::<TaskId>(row, column)? else { return Ok(None) };
    let kind = text::<Kind>(row, column + 1)?.ok_or_else(|| unreadable(column, "it has no kind"))?;
    Ok(Some(Join { id, kind }))
}
