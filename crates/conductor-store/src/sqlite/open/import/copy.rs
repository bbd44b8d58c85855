//! Copies the rows of the TypeScript version into our tables.

use super::tables::{RENAMED, tasks_sql};
use crate::ops::import::{DecidedTask, ImportPlan};
use crate::sqlite::connection::sql::{Result, Sql, fault, id_blob};
use crate::sqlite::rows::columns::bad_row;
use crate::sqlite::rows::events;
use crate::sqlite::writes::insert::INSERT_INPUT;
use crate::{Clock, StoreError, SystemClock};
use conductor_model::{ChildCounts, ErrorText, EventBody, Json, RunId, State, TaskId, Timestamp};
use rusqlite::{Connection, Row, params};
use std::collections::HashMap;
use std::str::FromStr;

/// Writes the rows, the old events in their order, and the first event of each row.
///
/// Our tables are empty, so the key of a row is its position in the plan, from 1.
pub(super) fn copy(tx: &Connection, plan: &ImportPlan) -> Result<()> {
    let now = SystemClock.now();
    copy_runs(tx, plan, now)?;
    copy_meta(tx, plan)?;
    let kinds = insert_kinds(tx, plan)?;
    copy_tasks(tx, plan, &kinds, now)?;
    copy_events(tx, plan)?;
    record_import(tx, plan, now)
}

fn key(position: usize) -> i64 {
    i64::try_from(position + 1).unwrap_or(i64::MAX)
}

fn copy_runs(tx: &Connection, plan: &ImportPlan, now: Timestamp) -> Result<()> {
    for (position, (run, decided)) in plan.rows.runs.iter().zip(&plan.decisions.runs).enumerate() {
        let updated_at = if decided.is_changed { now } else { run.updated_at };
        let ChildCounts { total, created, open, failed, cancelled } = decided.counts;
        let state_counts = State::ALL.map(|state| decided.state_counts.of(state).cast_signed());
        let [in_pending, in_running, in_succeeded, in_failed, in_cancelled] = state_counts;
        tx.run(
            INSERT_RUN,
            params![
                key(position),
                id_blob(run.id.as_u128()),
                decided.state.code(),
                run.created_at.as_millis(),
                updated_at.as_millis(),
                total,
                created,
                open,
                failed,
                cancelled,
                in_pending,
                in_running,
                in_succeeded,
                in_failed,
                in_cancelled,
            ],
        )?;
    }
    Ok(())
}

fn copy_meta(tx: &Connection, plan: &ImportPlan) -> Result<()> {
    let sql = format!("SELECT id, meta FROM {} WHERE meta IS NOT NULL", RENAMED[0]);
    let mut statement = tx.prepare(&sql).map_err(fault)?;
    let mut rows = statement.query([]).map_err(fault)?;
    while let Some(row) = rows.next().map_err(fault)? {
        let run = position_of(&plan.rows.run_of, &required::<RunId>(row, "id")?)?;
        let meta = required::<Json>(row, "meta")?;
        let sql = "INSERT INTO conductor_submissions (run, meta) VALUES (?1, ?2)";
        tx.run(sql, params![key(run), meta.as_str()])?;
    }
    Ok(())
}

/// Inserts the kinds; returns the key of its kind for each task. The kind of a task is the name of the root task above it.
fn insert_kinds(tx: &Connection, plan: &ImportPlan) -> Result<Vec<i64>> {
    let mut keys: HashMap<&str, i64> = HashMap::new();
    let mut kinds = vec![0; plan.rows.tasks.len()];
    for &task in &plan.tree.order {
        let row = &plan.rows.tasks[task];
        kinds[task] = match row.parent {
            Some(parent) => kinds[parent],
            None => *keys.entry(&*row.name).or_insert(0),
        };
        if kinds[task] == 0 {
            tx.run("INSERT INTO conductor_kinds (name) VALUES (?1)", [&*row.name])?;
            kinds[task] = tx.last_insert_rowid();
            keys.insert(&row.name, kinds[task]);
        }
    }
    Ok(kinds)
}

fn copy_tasks(tx: &Connection, plan: &ImportPlan, kinds: &[i64], now: Timestamp) -> Result<()> {
    let mut statement = tx.prepare(&tasks_sql(tx, RENAMED[1]).map_err(fault)?).map_err(fault)?;
    let mut rows = statement.query([]).map_err(fault)?;
    while let Some(row) = rows.next().map_err(fault)? {
        let task = position_of(&plan.rows.task_of, &required::<TaskId>(row, "id")?)?;
        copy_task(tx, plan, (task, kinds[task]), row, now)?;
        let input = optional::<Json>(row, "input")?;
        if let Some(input) = plan.stored_input(task, input.as_ref().map(Json::as_str)) {
            tx.run(INSERT_INPUT, params![key(task), input])?;
        }
    }
    Ok(())
}

fn copy_task(
    tx: &Connection,
    plan: &ImportPlan,
    (position, kind): (usize, i64),
    row: &Row<'_>,
    now: Timestamp,
) -> Result<()> {
    let (task, decided) = (&plan.rows.tasks[position], plan.decisions.tasks[position]);
    let DecidedTask { state, retry_due, counts, attempt, is_changed } = decided;
    let updated_at = if is_changed { now } else { task.updated_at };
    let output = optional::<Json>(row, "output")?;
    let last_error = optional::<String>(row, "last_error")?.map(ErrorText::from);
    tx.run(
        INSERT_TASK,
        params![
            key(position),
            id_blob(task.id.as_u128()),
            key(task.run),
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
            last_error.as_ref().map(ErrorText::as_str),
            output.as_ref().map(Json::as_str),
        ],
    )?;
    Ok(())
}

fn copy_events(tx: &Connection, plan: &ImportPlan) -> Result<()> {
    // In the order of their insertion; the ids of the same millisecond have no order.
    let sql = format!("SELECT id, run_id, task_id, name, at, payload FROM {} ORDER BY rowid", RENAMED[2]);
    let mut statement = tx.prepare(&sql).map_err(fault)?;
    let mut rows = statement.query([]).map_err(fault)?;
    while let Some(row) = rows.next().map_err(fault)? {
        let run = position_of(&plan.rows.run_of, &required::<RunId>(row, "run_id")?)?;
        let task = optional::<TaskId>(row, "task_id")?;
        let task = task.map(|task| position_of(&plan.rows.task_of, &task)).transpose()?;
        let body = EventBody::Legacy {
            id: required(row, "id")?,
            name: required(row, "name")?,
            payload: optional(row, "payload")?,
        };
        events::record(tx, key(run), task.map(key), required(row, "at")?, &body)?;
    }
    Ok(())
}

/// One event per row, from which its state can be computed again.
fn record_import(tx: &Connection, plan: &ImportPlan, now: Timestamp) -> Result<()> {
    for (position, run) in plan.decisions.runs.iter().enumerate() {
        let body = EventBody::RunAdopted {
            state: run.state,
            child_counts: run.counts,
            state_counts: run.state_counts,
        };
        events::record(tx, key(position), None, now, &body)?;
    }
    for (position, (task, decided)) in plan.rows.tasks.iter().zip(&plan.decisions.tasks).enumerate() {
        let body = EventBody::TaskAdopted {
            parent: task.parent.map(|parent| plan.rows.tasks[parent].id),
            index: plan.tree.index[position],
            state: decided.state,
            retry_scheduled: decided.retry_due,
            retry_count: task.retry_count,
            attempt: decided.attempt,
            child_counts: decided.counts,
        };
        events::record(tx, key(task.run), Some(key(position)), now, &body)?;
    }
    Ok(())
}

fn optional<T: FromStr<Err: ToString>>(row: &Row<'_>, column: &str) -> Result<Option<T>> {
    let text = row.get_ref(column).map_err(fault)?.as_str_or_null();
    let text = text.map_err(|error| changed(&error.to_string()))?;
    text.map(str::parse).transpose().map_err(|error: T::Err| changed(&error.to_string()))
}

fn required<T: FromStr<Err: ToString>>(row: &Row<'_>, column: &str) -> Result<T> {
    optional(row, column)?.ok_or_else(|| changed("a value is missing"))
}

fn position_of<Id: std::hash::Hash + Eq>(positions: &HashMap<Id, usize>, id: &Id) -> Result<usize> {
    positions.get(id).copied().ok_or_else(|| changed("an id is unknown"))
}

/// The rows were checked in the same transaction and cannot have changed.
fn changed(why: &str) -> StoreError {
    bad_row("original's row", 0, why)
}

const INSERT_RUN: &str = "INSERT INTO conductor_runs (key, id, state, created_at, updated_at, sealed, fanout, \
    children, open_children, failed_children, cancelled_children, pending, running, succeeded, failed, cancelled) \
    VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";

const INSERT_TASK: &str = "INSERT INTO conductor_tasks (key, id, run, parent, ordinal, state, kind, priority, \
    created_at, updated_at, due_at, attempt, retry_count, max_retries, sealed, fanout, children, open_children, \
    failed_children, cancelled_children, name, last_error, output) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)";
