//! Reads what a copy writes, one row at a time, and copies the rows that do not depend on how tasks are stored.

use super::tables::{RENAMED, tasks_sql};
use crate::StoreError;
use crate::ops::import::ImportPlan;
use crate::sqlite::connection::sql::{Result, Sql, fault};
use crate::sqlite::rows::columns::bad_row;
use conductor_model::{ChildCounts, ErrorText, EventBody, Json, RunId, State, TaskId, Timestamp};
use rusqlite::{Connection, Row, params};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::str::FromStr;

/// The key of the run at this position of the plan: our tables are empty, so that keys count from 1.
pub(super) fn run_key(position: usize) -> i64 {
    i64::try_from(position + 1).unwrap_or(i64::MAX)
}

/// Copies the runs.
pub(super) fn copy_runs(tx: &Connection, plan: &ImportPlan, now: Timestamp) -> Result<()> {
    for (position, (run, decided)) in plan.rows.runs.iter().zip(&plan.decisions.runs).enumerate() {
        let updated_at = if decided.is_changed { now } else { run.updated_at };
        let ChildCounts { total, created, open, failed, cancelled } = decided.counts;
        let state_counts = State::ALL.map(|state| decided.state_counts.of(state).cast_signed());
        let [in_pending, in_running, in_succeeded, in_failed, in_cancelled] = state_counts;
        tx.run(
            INSERT_RUN,
            params![
                run_key(position),
                run.id.to_string(),
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
    copy_meta(tx, plan)
}

fn copy_meta(tx: &Connection, plan: &ImportPlan) -> Result<()> {
    let sql = format!("SELECT id, meta FROM {} WHERE meta IS NOT NULL", RENAMED[0]);
    tx.each(&sql, [], |row| {
        let run = position_of(&plan.rows.run_of, &required::<RunId>(row, "id")?)?;
        let meta = required::<Json>(row, "meta")?;
        let sql = "INSERT INTO conductor_submissions (run, meta) VALUES (?1, ?2)";
        tx.run(sql, params![run_key(run), meta.as_str()])?;
        Ok(ControlFlow::Continue(()))
    })
}

/// Inserts the kinds; returns the key of its kind for each task. The kind of a task is the name of the root task above it.
pub(super) fn insert_kinds(tx: &Connection, plan: &ImportPlan) -> Result<Vec<i64>> {
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

/// The values of a task that the plan does not hold.
pub(super) struct TaskTexts {
    pub(super) input: Option<Json>,
    pub(super) output: Option<Json>,
    pub(super) last_error: Option<ErrorText>,
}

/// Visits the tasks, in the order of the plan: the position of each, and its texts.
pub(super) fn each_task(
    tx: &Connection,
    plan: &ImportPlan,
    mut visit: impl FnMut(usize, &TaskTexts) -> Result<()>,
) -> Result<()> {
    let mut next = 0;
    tx.each(&tasks_sql(tx, RENAMED[1]).map_err(fault)?, [], |row| {
        let task = position_of(&plan.rows.task_of, &required::<TaskId>(row, "id")?)?;
        if task != next {
            return Err(changed("the order of the tasks is another one"));
        }
        next += 1;
        let texts = TaskTexts {
            input: optional(row, "input")?,
            output: optional(row, "output")?,
            last_error: optional::<String>(row, "last_error")?.map(ErrorText::from),
        };
        visit(task, &texts)?;
        Ok(ControlFlow::Continue(()))
    })
}

/// An event of a run, or of one of its tasks: their positions in the plan.
pub(super) struct ImportedEvent {
    pub(super) run: usize,
    pub(super) task: Option<usize>,
    pub(super) at: Timestamp,
    pub(super) body: EventBody,
}

/// Visits the old events in their order, and then one event per row, from which its state can be computed again.
pub(super) fn each_event(
    tx: &Connection,
    plan: &ImportPlan,
    now: Timestamp,
    mut visit: impl FnMut(&ImportedEvent) -> Result<()>,
) -> Result<()> {
    each_old_event(tx, plan, &mut visit)?;
    for (position, run) in plan.decisions.runs.iter().enumerate() {
        let body = EventBody::RunAdopted {
            state: run.state,
            child_counts: run.counts,
            state_counts: run.state_counts,
        };
        visit(&ImportedEvent { run: position, task: None, at: now, body })?;
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
        visit(&ImportedEvent { run: task.run, task: Some(position), at: now, body })?;
    }
    Ok(())
}

fn each_old_event(
    tx: &Connection,
    plan: &ImportPlan,
    mut visit: impl FnMut(&ImportedEvent) -> Result<()>,
) -> Result<()> {
    // In the order of their insertion; the ids of the same millisecond have no order.
    let sql = format!("SELECT id, run_id, task_id, name, at, payload FROM {} ORDER BY rowid", RENAMED[2]);
    tx.each(&sql, [], |row| {
        let run = position_of(&plan.rows.run_of, &required::<RunId>(row, "run_id")?)?;
        let task = optional::<TaskId>(row, "task_id")?;
        let task = task.map(|task| position_of(&plan.rows.task_of, &task)).transpose()?;
        let body = EventBody::Legacy {
            id: required(row, "id")?,
            name: required(row, "name")?,
            payload: optional(row, "payload")?,
        };
        visit(&ImportedEvent { run, task, at: required(row, "at")?, body })?;
        Ok(ControlFlow::Continue(()))
    })
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
