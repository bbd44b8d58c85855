//! Copies the rows of the TypeScript version into our tables.

use super::rows::{self, TaskTexts, run_key};
use crate::ops::import::{DecidedTask, ImportPlan};
use crate::sqlite::connection::sql::{Result, Sql, id_blob};
use crate::sqlite::rows::events;
use crate::sqlite::writes::insert::INSERT_INPUT;
use crate::{Clock, SystemClock};
use conductor_model::{ErrorText, Json, Timestamp};
use rusqlite::{Connection, params};

/// Writes the rows, the old events in their order, and the first event of each row.
///
/// Our tables are empty, so the key of a row is its position in the plan, from 1.
pub(super) fn copy(tx: &Connection, plan: &ImportPlan) -> Result<()> {
    let now = SystemClock.now();
    rows::copy_runs(tx, plan, now, |id| id_blob(id.as_u128()))?;
    let kinds = rows::insert_kinds(tx, plan)?;
    rows::each_task(tx, plan, |task, texts| copy_task(tx, plan, (task, kinds[task]), texts, now))?;
    rows::each_event(tx, plan, now, |event| {
        events::record(tx, run_key(event.run), event.task.map(key), event.at, &event.body)
    })
}

fn key(position: usize) -> i64 {
    i64::try_from(position + 1).unwrap_or(i64::MAX)
}

fn copy_task(
    tx: &Connection,
    plan: &ImportPlan,
    (position, kind): (usize, i64),
    texts: &TaskTexts,
    now: Timestamp,
) -> Result<()> {
    let (task, decided) = (&plan.rows.tasks[position], plan.decisions.tasks[position]);
    let DecidedTask { state, retry_due, counts, attempt, is_changed } = decided;
    let updated_at = if is_changed { now } else { task.updated_at };
    tx.run(
        INSERT_TASK,
        params![
            key(position),
            id_blob(task.id.as_u128()),
            run_key(task.run),
            task.parent.map_or(0, key),
            plan.tree.index[position],
            state.code(),
            kind,
            task.created_at.as_millis(),
            updated_at.as_millis(),
            retry_due.then_some(now.as_millis()),
            attempt,
            task.retry_count,
            task.max_retries.get(),
            counts.map(|_| 1),
            counts.and_then(|counts| counts.total),
            counts.map(|counts| counts.created),
            counts.map(|counts| counts.open),
            counts.map(|counts| counts.failed),
            counts.map(|counts| counts.cancelled),
            plan.stored_name(position),
            texts.last_error.as_ref().map(ErrorText::as_str),
            texts.output.as_ref().map(Json::as_str),
        ],
    )?;
    if let Some(input) = plan.stored_input(position, texts.input.as_ref().map(Json::as_str)) {
        tx.run(INSERT_INPUT, params![key(position), input])?;
    }
    Ok(())
}

const INSERT_TASK: &str = "INSERT INTO conductor_tasks (key, id, run, parent, ordinal, state, kind, priority, \
    created_at, updated_at, due_at, attempt, retry_count, max_retries, sealed, fanout, children, open_children, \
    failed_children, cancelled_children, name, last_error, output) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)";
