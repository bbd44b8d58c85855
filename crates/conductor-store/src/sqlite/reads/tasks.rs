//! Tasks, as readers see them.

use super::runs::join;
use crate::StoreError;
use crate::backend::{
    ParentInput, ParentKey, Position, Rows, RunKey, TaskKey, TaskRecord, TaskRecords, TasksWanted,
};
use crate::sqlite::connection::sql::{Result, Sql, fault, id_blob};
use crate::sqlite::rows::columns::{
    backoff, cancel_cause, child_counts, due_at, id, max_retries, policy, read_input, state, text, timestamp,
    unreadable,
};
use crate::sqlite::rows::keys::{self, RowKey, parent_columns};
use crate::sqlite::rows::{conditions::sql, events};
use conductor_model::{ErrorText, Json, Kind, RunId, State, Task, TaskId, TaskName};
use rusqlite::{Connection, Params, Row, params};
use std::collections::BTreeSet;

/// The columns of [`task_record`]. The name of a child is derived.
const SELECT_TASKS: &str = "SELECT t.id, r.id, p.id, t.ordinal, \
    coalesce(t.name, p.name || '#' || t.ordinal), k.name, t.state, t.created_at, t.updated_at, t.due_at, \
    i.input, t.output, t.retry_count, t.max_retries, t.backoff, t.priority, t.attempt, t.last_error, \
    t.sealed, t.fanout, t.children, t.open_children, t.failed_children, t.cancelled_children, \
    t.parent, t.run, t.timeout_ms, t.lease_until, t.key, t.policy, t.mark, j.id, jk.name \
    FROM conductor_tasks t \
    JOIN conductor_runs r ON r.key = t.run \
    JOIN conductor_kinds k ON k.key = t.kind \
    LEFT JOIN conductor_tasks p ON p.key = t.parent \
    LEFT JOIN conductor_inputs i ON i.task = t.key \
    LEFT JOIN conductor_joins j ON t.joining IS NOT NULL AND j.run = t.run AND j.task = t.key \
    LEFT JOIN conductor_kinds jk ON jk.key = j.kind";

/// See [`ReadTx::tasks`](crate::backend::ReadTx::tasks).
pub(crate) fn tasks(
    connection: &Connection,
    wanted: TasksWanted,
    limit: u32,
    max_bytes: usize,
) -> Result<TaskRecords> {
    let bounds = (limit, max_bytes);
    let rows = match wanted {
        TasksWanted::Id(id) => {
            let sql = format!("{SELECT_TASKS} WHERE t.id = ?1");
            read_tasks(connection, &sql, [id_blob(id.as_u128())], bounds)
        }
        TasksWanted::OfRun { run, after, state } => {
            // The join of a run is a root task with ordinal 0.
            let (parent, index) =
                after.map_or((-1, 0), |(parent, index)| (parent.map_or(0, TaskKey::row), index));
            let state = state.map(State::code);
            let params = params![run.row(), parent, index, limit.saturating_add(1), state];
            read_tasks(connection, &tasks_sql(), params, bounds)
        }
        TasksWanted::Children { parent, after } => {
            let (run, parent) = parent_columns(parent);
            let params = params![run, parent, after, limit.saturating_add(1)];
            read_tasks(connection, &children_sql(), params, bounds)
        }
    }?;
    let parent_inputs = parent_inputs(connection, &rows.items)?;
    Ok(TaskRecords { rows, parent_inputs })
}

/// The tasks of a run after a place, in the order of the index of places.
pub(crate) fn tasks_sql() -> String {
    format!(
        "{SELECT_TASKS} WHERE t.run = ?1 AND (t.parent, t.ordinal) > (?2, ?3) AND (?5 IS NULL OR t.state = ?5) \
         ORDER BY t.parent, t.ordinal LIMIT ?4"
    )
}

/// The children of a parent after an index.
pub(crate) fn children_sql() -> String {
    format!(
        "{SELECT_TASKS} WHERE t.run = ?1 AND t.parent = ?2 AND t.ordinal > ?3 ORDER BY t.ordinal LIMIT ?4"
    )
}

/// The first tasks, up to a number and a number of bytes.
fn read_tasks(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    (limit, max_bytes): (u32, usize),
) -> Result<Rows<TaskRecord>> {
    let mut statement = connection.cached(sql)?;
    let mut rows = statement.query(params).map_err(fault)?;
    let (mut items, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next().map_err(fault)? {
        if items.len() == limit as usize || bytes >= max_bytes {
            return Ok(Rows { items, more: true });
        }
        let record = task_record(row).map_err(fault)?;
        let size = |json: &Option<Json>| json.as_ref().map_or(0, |json| json.as_str().len());
        bytes += size(&record.task.input) + size(&record.task.output);
        items.push(record);
    }
    Ok(Rows { items, more: false })
}

fn task_record(row: &Row<'_>) -> rusqlite::Result<TaskRecord> {
    let index: u32 = row.get(3)?;
    let position = Position { parent: keys::parent_key(keys::key(row, 25)?, row, 24)?, is_join: index == 0 };
    let task = Task {
        id: TaskId::from_u128(id(row, 0)?),
        run: RunId::from_u128(id(row, 1)?),
        parent: row.get::<_, Option<[u8; 16]>>(2)?.map(u128::from_be_bytes).map(TaskId::from_u128),
        index,
        name: text::<TaskName>(row, 4)?.ok_or_else(|| unreadable(4, "it has no name"))?,
        kind: text::<Kind>(row, 5)?.ok_or_else(|| unreadable(5, "it has no kind"))?,
        state: state(row, 6)?,
        created_at: timestamp(row, 7)?,
        updated_at: timestamp(row, 8)?,
        due_at: due_at(row, 9)?,
        input: text::<Json>(row, 10)?,
        output: text::<Json>(row, 11)?,
        retry_count: row.get(12)?,
        max_retries: max_retries(row, 13)?,
        backoff: backoff(row, 14)?,
        timeout_ms: row.get(26)?,
        priority: row.get(15)?,
        attempt: row.get(16)?,
        lease_until: due_at(row, 27)?,
        last_error: row.get::<_, Option<String>>(17)?.map(ErrorText::from),
        child_counts: child_counts(row, 18)?,
        policy: policy(row, 29)?,
        cancel_cause: cancel_cause(row, 30)?,
        join: join(row, 31)?,
    };
    Ok(TaskRecord { task, position })
}

/// The inputs of the parents of those tasks that have no input of their own. All tasks are of one run.
fn parent_inputs(connection: &Connection, records: &[TaskRecord]) -> Result<Vec<(ParentKey, ParentInput)>> {
    let without = records.iter().filter(|record| record.task.input.is_none());
    let parents: BTreeSet<ParentKey> = without.map(|record| record.position.parent).collect();
    let parents: Vec<_> = parents.into_iter().filter_map(|parent| Some((parent, parent.task?))).collect();
    let read =
        |(parent, task): (ParentKey, TaskKey)| Ok((parent, parent_input(connection, (parent.run, task))?));
    parents.into_iter().map(read).collect()
}

/// The input that children without one of their own may have from their parent.
pub(crate) fn parent_input(connection: &Connection, (run, parent): (RunKey, TaskKey)) -> Result<ParentInput> {
    let input = own_input(connection, parent)?;
    let says_nothing = match &input {
        None => true,
        Some(input) => input.as_ref().is_ok_and(|input| input.as_str() == "null"),
    };
    Ok(ParentInput { imported: says_nothing && is_imported(connection, run)?, input })
}

/// The input of a task itself; or why it cannot be read.
pub(crate) fn own_input(connection: &Connection, task: TaskKey) -> Result<Option<Result<Json, String>>> {
    match read_input(connection, task.row()) {
        Err(StoreError::CorruptRow { reason, .. }) => Ok(Some(Err(reason))),
        read => Ok(read?.map(Ok)),
    }
}

/// Returns whether a run was imported from the TypeScript version.
fn is_imported(connection: &Connection, run: RunKey) -> Result<bool> {
    let params = params![run.row(), events::code_of("run.adopted")];
    Ok(connection.first(SELECT_IMPORTED, params, |_| Ok(()))?.is_some())
}

/// The index covers all event names except starts and successes.
const SELECT_IMPORTED: &str = sql!("SELECT 1 FROM " rare_events_of_run " AND name = ?2 LIMIT 1");
