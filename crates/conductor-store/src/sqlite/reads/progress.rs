//! The progress of running tasks.

use super::page::rows_up_to;
use crate::backend::{ProgressWanted, Rows, TaskKey};
use crate::sqlite::connection::sql::{Result, id_blob};
use crate::sqlite::rows::{columns, conditions::sql, keys::RowKey};
use conductor_model::{Progress, ProgressMessage, TaskId, TaskProgress};
use rusqlite::{Connection, Row, params};

/// See [`ReadTx::progress`](crate::backend::ReadTx::progress).
pub(crate) fn progress(
    connection: &Connection,
    wanted: ProgressWanted,
    limit: u32,
) -> Result<Rows<TaskProgress>> {
    match wanted {
        ProgressWanted::Task(task) => {
            rows_up_to(connection, OF_TASK, [id_blob(task.as_u128())], limit, progress_record)
        }
        ProgressWanted::OfRun { run, after } => {
            let params = params![run.row(), after.map_or(0, TaskKey::row), limit.saturating_add(1)];
            rows_up_to(connection, OF_RUN, params, limit, progress_record)
        }
    }
}

fn progress_record(row: &Row<'_>) -> rusqlite::Result<TaskProgress> {
    Ok(TaskProgress {
        task: TaskId::from_u128(columns::id(row, 0)?),
        attempt: row.get(1)?,
        at: columns::timestamp(row, 2)?,
        progress: Progress {
            done: row.get::<_, i64>(3)?.cast_unsigned(),
            total: row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned),
            message: ProgressMessage::from(row.get::<_, String>(5)?),
        },
    })
}

/// The row of an attempt that is over is not shown.
const OF_TASK: &str = sql!("SELECT t.id, p.attempt, p.at, p.done, p.total, p.message FROM conductor_tasks t \
    CROSS JOIN conductor_progress p ON p.run = t.run AND p.task = t.key AND p.attempt = t.attempt \
    WHERE t.id = ?1 AND " running);

const OF_RUN: &str = sql!("SELECT t.id, p.attempt, p.at, p.done, p.total, p.message FROM conductor_progress p \
    CROSS JOIN conductor_tasks t ON t.key = p.task AND t.attempt = p.attempt \
    WHERE p.run = ?1 AND p.task > ?2 AND " running " ORDER BY p.task LIMIT ?3");
