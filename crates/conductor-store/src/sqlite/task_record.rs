//! Maps rows of tasks to records.

use super::inputs::Inputs;
use super::ledger::Place;
use super::rows::{
    backoff, due_at, id, join, mark, max_retries, numbers, policy, state, text, timestamp, unreadable,
};
use conductor_model::{ErrorText, Json, Kind, RunId, Task, TaskId, TaskName};
use rusqlite::{Connection, Row};

/// The columns of [`Tasks::record`]. A leaf child's name is derived; a child of a counted fan-out has no input
/// of its own.
pub(super) const SELECT_TASKS: &str = "SELECT t.id, r.id, p.id, t.ordinal, \
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

/// Reads tasks. It reads the input of each parent once.
pub(super) struct Tasks<'c> {
    connection: &'c Connection,
    inputs: Inputs,
}

impl<'c> Tasks<'c> {
    pub(super) fn on(connection: &'c Connection) -> Self {
        Self { connection, inputs: Inputs::default() }
    }

    /// A task from [`SELECT_TASKS`].
    pub(super) fn record(&mut self, row: &Row<'_>) -> rusqlite::Result<Task> {
        let parent: Option<[u8; 16]> = row.get(2)?;
        let index: u32 = row.get(3)?;
        let place = Place { run: row.get(25)?, parent: row.get(24)?, is_join: index == 0 };
        let input = match text::<Json>(row, 10)? {
            // Without the row of the parent, the kind of its fan-out is unknown.
            None if parent.is_some() => {
                let input = self.inputs.of(self.connection, place, None);
                input.map_err(|error| unreadable(10, error))?.into_json()
            }
            own => own,
        };
        Ok(Task {
            id: TaskId::from_u128(id(row, 0)?),
            run: RunId::from_u128(id(row, 1)?),
            parent: parent.map(u128::from_be_bytes).map(TaskId::from_u128),
            index,
            name: text::<TaskName>(row, 4)?.ok_or_else(|| unreadable(4, "it has no name"))?,
            kind: text::<Kind>(row, 5)?.ok_or_else(|| unreadable(5, "it has no kind"))?,
            state: state(row, 6)?,
            created_at: timestamp(row, 7)?,
            updated_at: timestamp(row, 8)?,
            due_at: due_at(row, 9)?,
            input,
            output: text::<Json>(row, 11)?,
            retry_count: row.get(12)?,
            max_retries: max_retries(row, 13)?,
            backoff: backoff(row, 14)?,
            timeout_ms: row.get(26)?,
            priority: row.get(15)?,
            attempt: row.get(16)?,
            lease_until: due_at(row, 27)?,
            last_error: row.get::<_, Option<String>>(17)?.map(ErrorText::from),
            child_counts: numbers(row, 18)?,
            policy: policy(row, 29)?,
            cancel_cause: mark(row, 30)?,
            join: join(row, 31)?,
        })
    }
}
