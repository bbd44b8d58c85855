//! The event log, as readers see it: one event for each leaf of a row.

use crate::StoreError;
use crate::backend::{EventsWanted, Rows, RunKey, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql, fault};
use crate::sqlite::rows::block::{self, BlockRow};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::event_body::{code_of, read_body};
use crate::sqlite::rows::events::{PER_ROW, read_sets, seq_of};
use crate::sqlite::rows::keys::{RowKey, optional_key};
use crate::sqlite::rows::parents::run_id;
use conductor_model::{Event, EventBody, RunId, TaskId, Timestamp};
use rusqlite::{Connection, Row, params};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::ControlFlow;

/// A row of `conductor_events`.
pub(crate) struct EventRow {
    pub(crate) key: i64,
    pub(crate) name: i64,
    pub(crate) task: Option<TaskKey>,
    pub(crate) tasks: Option<String>,
    pub(crate) body: Result<EventBody, String>,
}

/// The columns of [`EventRow::read`].
macro_rules! event_columns {
    () => {
        "e.key, e.name, e.task, e.tasks, e.payload"
    };
}
pub(crate) use event_columns;

impl EventRow {
    pub(crate) fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<Self> {
        let name: i64 = row.get(column + 1)?;
        let payload = row.get_ref(column + 4)?.as_str_or_null();
        let body = match (u32::try_from(name), payload) {
            (Ok(code), Ok(payload)) => read_body(code, payload).map_err(|error| error.to_string()),
            (Err(_), _) => Err(format!("{name} is not an event")),
            (_, Err(error)) => Err(error.to_string()),
        };
        Ok(Self {
            key: row.get(column)?,
            name,
            task: optional_key(row, column + 2)?,
            tasks: columns::any_text(row, column + 3)?,
            body,
        })
    }

    /// What the event at this place says.
    pub(crate) fn body_at(&self, place: u32) -> Result<EventBody, String> {
        self.body.as_ref().map(|body| body.of_sibling(place)).map_err(Clone::clone)
    }

    /// The task of each event, in order: `None` for an event of the run. Where the tasks cannot be read, it is one event
    /// that cannot be read.
    pub(crate) fn tasks(&mut self) -> Vec<Option<TaskKey>> {
        let Some(text) = &self.tasks else { return vec![self.task] };
        if let Some(sets) = read_sets(text) {
            return sets.iter().flat_map(|set| set.iter().map(Some)).collect();
        }
        self.body = Err("its tasks cannot be read".into());
        vec![None]
    }
}

/// See [`ReadTx::events`](crate::backend::ReadTx::events).
pub(crate) fn events(
    connection: &Connection,
    wanted: &EventsWanted<'_>,
    limit: u32,
) -> Result<Rows<Result<Event>>> {
    let mut page = Rows { items: Vec::new(), more: false };
    let name = match wanted.name.map(code_of) {
        Some(None) => return Ok(page),
        Some(code) => code,
        None => None,
    };
    let (since, until) = (wanted.since.map(Timestamp::as_millis), wanted.until.map(Timestamp::as_millis));
    let (run, task) = (wanted.run.map(RunKey::row), wanted.task.map(TaskKey::row));
    let block = wanted.task.map(|task| format!("[{},", block::place(task).0));
    let first = i64::try_from(wanted.after / PER_ROW).unwrap_or(i64::MAX);
    let mut ids = TaskIds { connection, blocks: HashMap::new() };
    let params = params![first, task, name, since, until, run, block];
    connection.each(&events_sql(run.is_some()), params, |row| {
        let (run, at) = (run_id(row, 5).map_err(fault), columns::timestamp(row, 6).map_err(fault));
        let mut row = EventRow::read(row, 0).map_err(fault)?;
        for (place, of) in (0..).zip(row.tasks()) {
            let seq = seq_of(row.key, u64::from(place));
            if seq <= wanted.after || wanted.task.is_some_and(|task| of != Some(task)) {
                continue;
            }
            if page.items.len() == limit as usize {
                page.more = true;
                return Ok(ControlFlow::Break(()));
            }
            let task = of.map(|task| ids.id(task)).transpose()?.flatten();
            page.items.push(event((seq, place), task, &row, (&run, &at)));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(page)
}

fn event(
    (seq, place): (u64, u32),
    task: Option<TaskId>,
    row: &EventRow,
    (run, at): (&Result<RunId>, &Result<Timestamp>),
) -> Result<Event> {
    let damaged = |reason: String| StoreError::CorruptRow { row: format!("event {seq}"), reason };
    let copy = |error: &StoreError| damaged(error.to_string());
    Ok(Event {
        seq,
        run: *run.as_ref().map_err(copy)?,
        task,
        at: *at.as_ref().map_err(copy)?,
        body: row.body_at(place).map_err(damaged)?,
    })
}

/// The ids of tasks, whose blocks are read once.
struct TaskIds<'c> {
    connection: &'c Connection,
    blocks: HashMap<i64, Option<BlockRow>>,
}

impl TaskIds<'_> {
    fn id(&mut self, task: TaskKey) -> Result<Option<TaskId>> {
        let (number, offset) = block::place(task);
        let block = match self.blocks.entry(number) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => *unknown.insert(block::by_number(self.connection, number)?),
        };
        Ok(block.filter(|block| offset < block.count).map(|block| block.id(offset)))
    }
}

/// Rows of events from a key on, of one run or of all.
fn events_sql(of_run: bool) -> String {
    let run = if of_run { "e.run = ?6" } else { "?6 IS NULL" };
    format!(
        "SELECT {}, r.id, e.at FROM conductor_events e JOIN conductor_runs r ON r.key = e.run \
         WHERE {run} AND e.key >= ?1 AND (?2 IS NULL OR e.task = ?2 OR instr(e.tasks, ?7) > 0) \
         AND (?3 IS NULL OR e.name = ?3) AND (?4 IS NULL OR e.at >= ?4) AND (?5 IS NULL OR e.at < ?5) \
         ORDER BY e.key",
        event_columns!()
    )
}
