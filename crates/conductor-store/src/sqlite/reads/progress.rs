//! The progress of running tasks.

use super::leaf_states::{self, LeafState};
use crate::backend::{ProgressWanted, Rows, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block;
use crate::sqlite::rows::{columns, keys::RowKey};
use conductor_model::{Progress, ProgressMessage, State, TaskProgress, Timestamp};
use rusqlite::{Connection, Row, params};
use std::collections::HashMap;

/// See [`ReadTx::progress`](crate::backend::ReadTx::progress). The row of an attempt that is over is not shown.
pub(crate) fn progress(
    connection: &Connection,
    wanted: ProgressWanted,
    limit: u32,
) -> Result<Rows<TaskProgress>> {
    let mut rows = Rows { items: Vec::new(), more: false };
    match wanted {
        ProgressWanted::Task(id) => {
            if let Some((block, offset)) = block::by_id(connection, id)? {
                let params = params![block.run().row(), block.block.base.plus(offset).row()];
                if let Some(row) = connection.first(OF_TASK, params, read)? {
                    rows.items.extend(present(connection, &[row])?);
                }
            }
        }
        ProgressWanted::OfRun { run, after } => {
            let mut after = after.map_or(0, TaskKey::row);
            loop {
                let page =
                    connection.all(OF_RUN, params![run.row(), after, limit.saturating_add(1)], read)?;
                let Some(last) = page.last() else { break };
                after = last.task.row();
                for of_block in page.chunk_by(|left, right| number(left) == number(right)) {
                    rows.items.extend(present(connection, of_block)?);
                    if rows.items.len() > limit as usize {
                        rows.items.truncate(limit as usize);
                        rows.more = true;
                        return Ok(rows);
                    }
                }
            }
        }
    }
    Ok(rows)
}

struct ProgressRow {
    task: TaskKey,
    attempt: u32,
    at: Timestamp,
    progress: Progress,
}

fn read(row: &Row<'_>) -> rusqlite::Result<ProgressRow> {
    Ok(ProgressRow {
        task: TaskKey::of_row(row.get(0)?),
        attempt: row.get(1)?,
        at: columns::timestamp(row, 2)?,
        progress: Progress {
            done: row.get::<_, i64>(3)?.cast_unsigned(),
            total: row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned),
            message: ProgressMessage::from(row.get::<_, String>(5)?),
        },
    })
}

/// The block of a row.
fn number(row: &ProgressRow) -> i64 {
    block::place(row.task).0
}

/// The progress of tasks of one block whose attempts run, in their order.
fn present(connection: &Connection, rows: &[ProgressRow]) -> Result<Vec<TaskProgress>> {
    let Some(number) = rows.first().map(number) else { return Ok(Vec::new()) };
    let Some(block) = block::by_number(connection, number)? else { return Ok(Vec::new()) };
    let offset = |row: &ProgressRow| block::place(row.task).1;
    let offsets = rows.iter().map(offset).collect();
    let running = leaf_states::of(connection, number, &offsets, Some(State::Running))?;
    let attempt = |leaf: LeafState| (leaf.offset, leaf.condition.status.attempt);
    let attempts: HashMap<u16, u32> = running.into_iter().map(attempt).collect();
    let runs = |row: &&ProgressRow| attempts.get(&offset(row)) == Some(&row.attempt);
    let progress = |row: &ProgressRow| TaskProgress {
        task: block.id(offset(row)),
        attempt: row.attempt,
        at: row.at,
        progress: row.progress.clone(),
    };
    Ok(rows.iter().filter(runs).map(progress).collect())
}

const OF_TASK: &str =
    "SELECT task, attempt, at, done, total, message FROM conductor_progress WHERE run = ?1 AND task = ?2";
const OF_RUN: &str = "SELECT task, attempt, at, done, total, message FROM conductor_progress \
    WHERE run = ?1 AND task > ?2 ORDER BY task LIMIT ?3";
