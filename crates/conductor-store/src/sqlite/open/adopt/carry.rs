//! Writes the original's rows into our tables.

use super::survey::{OldTask, tasks_sql};
use super::{Plan, RENAMED};
use crate::sqlite::event_log;
use crate::sqlite::rows::{bad_row, state_code};
use crate::sqlite::sql::{Sql, fault, id_blob};
use crate::{Clock, StoreError, SystemClock};
use conductor_model::{ChildCounts, ErrorText, EventBody, Json, RunId, State, TaskId, Timestamp};
use rusqlite::{Connection, Row, params};
use std::collections::HashMap;
use std::str::FromStr;

/// Writes everything: the rows, the original's events in their order, and the event that each row begins with.
///
/// Our tables are empty, so that a row's key is its place in the plan, from 1.
pub(super) fn carry(tx: &Connection, plan: &Plan) -> Result<(), StoreError> {
    let now = SystemClock.now();
    carry_runs(tx, plan, now)?;
    let kinds = carry_kinds(tx, plan)?;
    carry_tasks(tx, plan, &kinds, now)?;
    carry_events(tx, plan)?;
    record_adoption(tx, plan, now)
}

fn key(place: usize) -> i64 {
    i64::try_from(place + 1).unwrap_or(i64::MAX)
}

fn carry_runs(tx: &Connection, plan: &Plan, now: Timestamp) -> Result<(), StoreError> {
    for (place, (run, fate)) in plan.old.runs.iter().zip(&plan.fates.runs).enumerate() {
        let updated_at = if fate.state == run.state { run.updated_at } else { now };
        let ChildCounts { total, created: children, open, failed, cancelled } = fate.numbers;
        let tally = State::ALL.map(|state| fate.tally.of(state).cast_signed());
        let [pending, running, succeeded, in_failed, in_cancelled] = tally;
        tx.run(
            INSERT_RUN,
            params![
                key(place),
                id_blob(run.id.as_u128()),
                state_code(fate.state),
                run.created_at.as_millis(),
                updated_at.as_millis(),
                total,
                children,
                open,
                failed,
                cancelled,
                pending,
                running,
                succeeded,
                in_failed,
                in_cancelled,
            ],
        )?;
    }
    carry_meta(tx, plan)
}

fn carry_meta(tx: &Connection, plan: &Plan) -> Result<(), StoreError> {
    let sql = format!("SELECT id, meta FROM {} WHERE meta IS NOT NULL", RENAMED[0]);
    let mut statement = tx.prepare(&sql).map_err(fault)?;
    let mut rows = statement.query([]).map_err(fault)?;
    while let Some(row) = rows.next().map_err(fault)? {
        let run = place_of(&plan.old.run_of, &parsed::<RunId>(row, "id")?)?;
        let meta = parsed::<Json>(row, "meta")?;
        tx.run(
            "INSERT INTO conductor_submissions (run, meta) VALUES (?1, ?2)",
            params![key(run), meta.as_str()],
        )?;
    }
    Ok(())
}

/// A task's kind is the name of the root task above it: by task, the kind's key.
fn carry_kinds(tx: &Connection, plan: &Plan) -> Result<Vec<i64>, StoreError> {
    let mut keys: HashMap<&str, i64> = HashMap::new();
    let mut kinds = vec![0; plan.old.tasks.len()];
    for &task in &plan.tree.order {
        let its = &plan.old.tasks[task];
        kinds[task] = match its.parent {
            Some(parent) => kinds[parent],
            None => *keys.entry(&*its.name).or_insert(0),
        };
        if kinds[task] == 0 {
            tx.run("INSERT INTO conductor_kinds (name) VALUES (?1)", [&*its.name])?;
            kinds[task] = tx.last_insert_rowid();
            keys.insert(&its.name, kinds[task]);
        }
    }
    Ok(kinds)
}

fn carry_tasks(tx: &Connection, plan: &Plan, kinds: &[i64], now: Timestamp) -> Result<(), StoreError> {
    let mut statement = tx.prepare(&tasks_sql(tx, RENAMED[1]).map_err(fault)?).map_err(fault)?;
    let mut rows = statement.query([]).map_err(fault)?;
    while let Some(row) = rows.next().map_err(fault)? {
        let place = place_of(&plan.old.task_of, &parsed::<TaskId>(row, "id")?)?;
        carry_task(tx, plan, place, kinds[place], row, now)?;
        if let Some(input) = own_input(plan, place, maybe::<Json>(row, "input")?.as_ref()) {
            tx.run(crate::sqlite::create::INSERT_INPUT, params![key(place), input])?;
        }
    }
    Ok(())
}

fn carry_task(
    tx: &Connection,
    plan: &Plan,
    place: usize,
    kind: i64,
    row: &Row<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (task, fate) = (&plan.old.tasks[place], plan.fates.tasks[place]);
    let changed = fate.due || fate.state != task.state;
    let updated_at = if changed { now } else { task.updated_at };
    let output = maybe::<Json>(row, "output")?;
    let last_error = maybe::<String>(row, "last_error")?.map(ErrorText::from);
    tx.run(
        INSERT_TASK,
        params![
            key(place),
            id_blob(task.id.as_u128()),
            key(task.run),
            task.parent.map_or(0, key),
            plan.tree.index[place],
            state_code(fate.state),
            kind,
            task.created_at.as_millis(),
            updated_at.as_millis(),
            fate.due.then_some(now.as_millis()),
            attempt(task, fate.state, fate.numbers),
            task.retry_count,
            task.max_retries.get(),
            fate.numbers.map(|_| 1),
            fate.numbers.and_then(|numbers| numbers.total),
            fate.numbers.map(|numbers| numbers.created),
            fate.numbers.map(|numbers| numbers.open),
            fate.numbers.map(|numbers| numbers.failed),
            fate.numbers.map(|numbers| numbers.cancelled),
            own_name(plan, place),
            last_error.as_ref().map(ErrorText::as_str),
            output.as_ref().map(Json::as_str),
        ],
    )?;
    Ok(())
}

/// Each retry followed a start, and what runs or has ended started once more; the original counted neither.
fn attempt(task: &OldTask, state: State, numbers: Option<ChildCounts>) -> u32 {
    if numbers.is_some() {
        return 0;
    }
    let started = matches!(state, State::Running | State::Succeeded | State::Failed);
    task.retry_count.saturating_add(u32::from(started))
}

/// The name that is stored: none for a leaf whose name follows from its parent's.
fn own_name(plan: &Plan, place: usize) -> Option<&str> {
    let task = &plan.old.tasks[place];
    let derived = task.parent.is_some_and(|parent| {
        *task.name == *format!("{}#{}", plan.old.tasks[parent].name, plan.tree.index[place])
    });
    let is_leaf = plan.fates.tasks[place].numbers.is_none();
    (!derived || !is_leaf).then_some(&*task.name)
}

/// The input that is stored. A child without one would have its parent's; the original gave it none.
fn own_input<'a>(plan: &Plan, place: usize, input: Option<&'a Json>) -> Option<&'a str> {
    let parent = plan.old.tasks[place].parent;
    let would_inherit = parent.is_some_and(|parent| plan.old.tasks[parent].has_input);
    input.map(Json::as_str).or(would_inherit.then_some("null"))
}

fn carry_events(tx: &Connection, plan: &Plan) -> Result<(), StoreError> {
    // The order in which they were inserted; ids of the same millisecond have none.
    let sql = format!("SELECT id, run_id, task_id, name, at, payload FROM {} ORDER BY rowid", RENAMED[2]);
    let mut statement = tx.prepare(&sql).map_err(fault)?;
    let mut rows = statement.query([]).map_err(fault)?;
    while let Some(row) = rows.next().map_err(fault)? {
        let run = place_of(&plan.old.run_of, &parsed::<RunId>(row, "run_id")?)?;
        let task = maybe::<TaskId>(row, "task_id")?;
        let task = task.map(|task| place_of(&plan.old.task_of, &task)).transpose()?;
        let body = EventBody::Legacy {
            id: parsed(row, "id")?,
            name: parsed(row, "name")?,
            payload: maybe(row, "payload")?,
        };
        event_log::record(tx, key(run), task.map(key), parsed(row, "at")?, &body)?;
    }
    Ok(())
}

/// One event per row, from which everything can be computed again.
fn record_adoption(tx: &Connection, plan: &Plan, now: Timestamp) -> Result<(), StoreError> {
    for (place, fate) in plan.fates.runs.iter().enumerate() {
        let body =
            EventBody::RunAdopted { state: fate.state, child_counts: fate.numbers, state_counts: fate.tally };
        event_log::record(tx, key(place), None, now, &body)?;
    }
    for (place, (task, fate)) in plan.old.tasks.iter().zip(&plan.fates.tasks).enumerate() {
        let body = EventBody::TaskAdopted {
            parent: task.parent.map(|parent| plan.old.tasks[parent].id),
            index: plan.tree.index[place],
            state: fate.state,
            retry_scheduled: fate.due,
            retry_count: task.retry_count,
            attempt: attempt(task, fate.state, fate.numbers),
            child_counts: fate.numbers,
        };
        event_log::record(tx, key(task.run), Some(key(place)), now, &body)?;
    }
    Ok(())
}

fn maybe<T: FromStr<Err: ToString>>(row: &Row<'_>, column: &str) -> Result<Option<T>, StoreError> {
    let text = row.get_ref(column).map_err(fault)?.as_str_or_null();
    let text = text.map_err(|error| changed(&error.to_string()))?;
    text.map(str::parse).transpose().map_err(|error: T::Err| changed(&error.to_string()))
}

fn parsed<T: FromStr<Err: ToString>>(row: &Row<'_>, column: &str) -> Result<T, StoreError> {
    maybe(row, column)?.ok_or_else(|| changed("a value is missing"))
}

fn place_of<Id: std::hash::Hash + Eq>(places: &HashMap<Id, usize>, id: &Id) -> Result<usize, StoreError> {
    places.get(id).copied().ok_or_else(|| changed("an id is unknown"))
}

/// What was checked a moment ago, in the same transaction, cannot be otherwise now.
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
