//! Writes of repairs to rows of parents.

use crate::backend::{ParentColumns, TaskColumns, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::keys::RowKey;
use conductor_model::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// Writes the row of a parent, which may be lost. An output stays.
pub(super) fn write(tx: &Connection, key: TaskKey, columns: &TaskColumns, now: Timestamp) -> Result<bool> {
    let mut values = vec![Value::from(key.row()), columns.run.row().into(), columns.state.into()];
    values.extend([now.as_millis().into(), columns.due_at.into()]);
    values.extend(parent_values(&columns.as_parent));
    values.push(columns.swept.into());
    Ok(tx.run(WRITE_PARENT, params_from_iter(values))? > 0)
}

/// Nine values: sealed, fanout, children, open, failed, cancelled, policy, `cancel_cause`, `join_open`.
pub(super) fn parent_values(columns: &ParentColumns) -> [Value; 9] {
    let ParentColumns { sealed, total, created, open, failed, cancelled, policy, cancel_cause, join_open } =
        columns;
    [
        sealed.map(i64::from).into(),
        (*total).into(),
        (*created).into(),
        (*open).into(),
        (*failed).into(),
        (*cancelled).into(),
        policy.clone().into(),
        (*cancel_cause).into(),
        join_open.map(i64::from).into(),
    ]
}

const WRITE_PARENT: &str = "INSERT INTO conductor_parents (task, run, state, updated_at, due_at, sealed, fanout, \
    children, open_children, failed_children, cancelled_children, policy, cancel_cause, join_open, swept) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) \
    ON CONFLICT (task) DO UPDATE SET run = ?2, state = ?3, updated_at = ?4, due_at = ?5, sealed = ?6, fanout = ?7, \
    children = ?8, open_children = ?9, failed_children = ?10, cancelled_children = ?11, policy = ?12, \
    cancel_cause = ?13, join_open = ?14, swept = ?15";
