//! The progress of tasks that run: one row for each that reports it.

use super::SqliteStore;
use super::fence::Fences;
use super::lease::bounded;
use super::rows;
use super::sql::Sql;
use crate::{Fence, FenceOutcome, RecordProgress, StoreError};
use conductor_model::{Progress, ProgressMessage, TaskId, TaskProgress};
use rusqlite::{Connection, Row, params};

impl SqliteStore {
    pub(super) fn write_progress(&self, request: &RecordProgress) -> Result<Vec<FenceOutcome>, StoreError> {
        let fences: Vec<Fence> = request.items.iter().map(|(fence, _)| *fence).collect();
        bounded(&fences)?;
        if fences.is_empty() {
            return Ok(Vec::new());
        }
        self.write(request.now, |write| {
            let mut held = Fences::read(write.tx(), &fences)?;
            let mut answers = Vec::with_capacity(fences.len());
            for (fence, progress) in &request.items {
                let Some(task) = held.take(*fence) else {
                    answers.push(FenceOutcome::Stale);
                    continue;
                };
                let Progress { done, total, message } = progress;
                write.tx().run(
                    WRITE,
                    params![
                        task.place.run,
                        task.key,
                        fence.attempt,
                        stored(*done),
                        total.map(stored),
                        message.as_str(),
                        request.now.as_millis()
                    ],
                )?;
                answers.push(FenceOutcome::Applied);
            }
            write.tx().run(FORGET, [])?;
            Ok(answers)
        })
    }
}

/// The largest number that there is room for is large enough for any progress.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const WRITE: &str = "INSERT INTO conductor_progress (run, task, attempt, done, total, message, at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
    ON CONFLICT (run, task) DO UPDATE SET attempt = ?3, done = ?4, total = ?5, message = ?6, at = ?7";

/// Forgets the attempts that are over. It reads as many rows as there are tasks that report; settling a task costs nothing
/// for it.
const FORGET: &str = "DELETE FROM conductor_progress AS reported WHERE NOT EXISTS ( \
    SELECT 1 FROM conductor_tasks t WHERE t.key = reported.task AND t.state = 1 AND t.attempt = reported.attempt)";

pub(super) fn of_task(connection: &Connection, task: [u8; 16]) -> Result<Option<TaskProgress>, StoreError> {
    connection.first(OF_TASK, [task], progress_record)
}

/// Those of a run after a task, by row keys.
pub(super) fn of_run(
    connection: &Connection,
    run: i64,
    after: i64,
    limit: u32,
) -> Result<Vec<TaskProgress>, StoreError> {
    connection.all(OF_RUN, params![run, after, limit], progress_record)
}

/// The row of an attempt that is over is not shown.
const OF_TASK: &str = "SELECT t.id, p.attempt, p.at, p.done, p.total, p.message FROM conductor_tasks t \
    CROSS JOIN conductor_progress p ON p.run = t.run AND p.task = t.key AND p.attempt = t.attempt \
    WHERE t.id = ?1 AND t.state = 1";

const OF_RUN: &str = "SELECT t.id, p.attempt, p.at, p.done, p.total, p.message FROM conductor_progress p \
    CROSS JOIN conductor_tasks t ON t.key = p.task AND t.attempt = p.attempt \
    WHERE p.run = ?1 AND p.task > ?2 AND t.state = 1 ORDER BY p.task LIMIT ?3";

fn progress_record(row: &Row<'_>) -> rusqlite::Result<TaskProgress> {
    Ok(TaskProgress {
        task: TaskId::from_u128(rows::id(row, 0)?),
        attempt: row.get(1)?,
        at: rows::timestamp(row, 2)?,
        progress: Progress {
            done: row.get::<_, i64>(3)?.cast_unsigned(),
            total: row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned),
            message: ProgressMessage::from(row.get::<_, String>(5)?),
        },
    })
}
