//! Reads the rows of the TypeScript version into types without invalid values, and reports every invalid value.

use super::tables::tasks_sql;
use crate::ops::import::{ImportedRows, ImportedRun, ImportedTask, MAX_RETRY_COUNT, Problems, name_problem};
use conductor_model::{
    Fanout, Json, Kind, MAX_RETRIES, MaxRetries, RunId, State, TaskId, TaskName, Timestamp,
};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::collections::HashMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Reads all rows. The result is complete only if there are no problems.
pub(super) fn read(
    connection: &Connection,
    [runs, tasks, events]: [&str; 3],
    problems: &mut Problems,
) -> rusqlite::Result<ImportedRows> {
    let mut imported = ImportedRows::default();
    read_runs(connection, runs, &mut imported, problems)?;
    for (task, parent) in read_tasks(connection, tasks, &mut imported, problems)? {
        imported.set_parent(task, parent, problems);
    }
    check_events(connection, events, &imported, problems)?;
    Ok(imported)
}

/// Reads one row, and reports its problems with its table and id.
struct Reader<'r> {
    row: &'r Row<'r>,
    what: &'static str,
    problems: &'r mut Problems,
}

impl Reader<'_> {
    fn report(&mut self, column: &str, why: impl Display) {
        self.report_row(format_args!("{column} {why}"));
    }

    fn report_row(&mut self, problem: impl Display) {
        let id = match self.row.get_ref(0) {
            Ok(ValueRef::Text(id)) => String::from_utf8_lossy(id).chars().take(40).collect(),
            _ => String::from("?"),
        };
        self.problems.add(format!("{} {id:?}: {problem}", self.what));
    }

    /// A text that may be missing.
    fn text(&mut self, column: &str) -> Option<&str> {
        let row = self.row;
        match row.get_ref(column) {
            Ok(ValueRef::Null) => None,
            Ok(ValueRef::Text(text)) if let Ok(text) = std::str::from_utf8(text) => Some(text),
            _ => {
                self.report(column, "is not a text");
                None
            }
        }
    }

    /// A value that may be missing.
    fn optional<T: FromStr<Err: Display>>(&mut self, column: &str) -> Option<T> {
        match self.text(column)?.parse() {
            Ok(value) => Some(value),
            Err(why) => {
                self.report_row(format_args!("{column}: {why}"));
                None
            }
        }
    }

    /// A value that must exist.
    fn required<T: FromStr<Err: Display>>(&mut self, column: &str) -> Option<T> {
        if matches!(self.row.get_ref(column), Ok(ValueRef::Null)) {
            self.report(column, "is missing");
            return None;
        }
        self.optional(column)
    }

    fn state(&mut self) -> Option<State> {
        let text = self.required::<String>("state")?;
        let state = State::ALL.into_iter().find(|state| state.as_str() == text);
        if state.is_none() {
            self.report(
                "state",
                format_args!("{text:?} is not one of PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED"),
            );
        }
        state
    }

    /// A number; NULL means the default of the column.
    fn number(&mut self, column: &str, default: u32, bounds: RangeInclusive<u32>) -> u32 {
        let given = match self.row.get_ref(column) {
            Ok(ValueRef::Null) => return default,
            Ok(ValueRef::Integer(number))
                if let Ok(number) = u32::try_from(number)
                    && bounds.contains(&number) =>
            {
                return number;
            }
            Ok(ValueRef::Integer(number)) => number.to_string(),
            Ok(ValueRef::Real(number)) => number.to_string(),
            Ok(ValueRef::Text(text)) => {
                format!("{:?}", String::from_utf8_lossy(text).chars().take(40).collect::<String>())
            }
            _ => String::from("a BLOB"),
        };
        self.report(column, format_args!("must be an integer in {bounds:?}, but is {given}"));
        default
    }
}

fn read_runs(
    connection: &Connection,
    table: &str,
    imported: &mut ImportedRows,
    problems: &mut Problems,
) -> rusqlite::Result<()> {
    let sql = format!("SELECT id, state, created_at, updated_at, meta FROM {table} ORDER BY upper(id)");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut reader = Reader { row, what: "run", problems };
        let (id, state) = (reader.required::<RunId>("id"), reader.state());
        let times = (reader.required("created_at"), reader.required("updated_at"));
        reader.optional::<Json>("meta");
        let Some(id) = id else { continue };
        if imported.run_of.insert(id, imported.runs.len()).is_some() {
            reader.report("id", "occurs twice");
        }
        imported.runs.push(ImportedRun {
            id,
            state: state.unwrap_or(State::Pending),
            created_at: times.0.unwrap_or(Timestamp::MIN),
            updated_at: times.1.unwrap_or(Timestamp::MIN),
        });
    }
    Ok(())
}

/// Reads the tasks; returns the parents that they name, which may be in later rows.
fn read_tasks(
    connection: &Connection,
    table: &str,
    imported: &mut ImportedRows,
    problems: &mut Problems,
) -> rusqlite::Result<Vec<(usize, TaskId)>> {
    let mut children = Vec::new();
    let mut statement = connection.prepare(&tasks_sql(connection, table)?)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut reader = Reader { row, what: "task", problems };
        let parent = reader.optional::<TaskId>("parent_task_id");
        let Some(task) = read_task(&mut reader, &imported.run_of) else { continue };
        if let Some(parent) = parent {
            children.push((imported.tasks.len(), parent));
        }
        if imported.task_of.insert(task.id, imported.tasks.len()).is_some() {
            reader.report("id", "occurs twice");
        }
        imported.tasks.push(task);
    }
    Ok(children)
}

/// Reads a task, with placeholders for invalid values. Returns `None` if its id is invalid.
fn read_task(reader: &mut Reader<'_>, runs: &HashMap<RunId, usize>) -> Option<ImportedTask> {
    let id = reader.required::<TaskId>("id");
    let run = reader.required::<RunId>("run_id");
    let position = run.and_then(|run| runs.get(&run).copied());
    if position.is_none()
        && let Some(run) = run
    {
        reader.report("run_id", format_args!("{run} is not a run"));
    }
    let name = read_name(reader);
    let state = reader.state();
    let times = (reader.required("created_at"), reader.required("updated_at"));
    let input = reader.optional::<Json>("input");
    reader.optional::<Json>("output");
    reader.text("last_error");
    let retry_count = reader.number("retry_count", 0, 0..=MAX_RETRY_COUNT);
    let max_retries = reader.number("max_retries", MaxRetries::default().get(), 0..=MAX_RETRIES);
    // An input that is not a fan-out here was not one in the TypeScript version.
    let fanout = input.as_ref().and_then(|input| Fanout::of(input).ok().flatten());
    if fanout.is_some()
        && let Some(why) = name_problem(&name)
    {
        reader.report("name", why);
    }
    Some(ImportedTask {
        id: id?,
        run: position.unwrap_or(usize::MAX),
        parent: None,
        name,
        state: state.unwrap_or(State::Pending),
        created_at: times.0.unwrap_or(Timestamp::MIN),
        updated_at: times.1.unwrap_or(Timestamp::MIN),
        retry_count,
        max_retries: MaxRetries::try_from(i64::from(max_retries)).unwrap_or_default(),
        fanout: fanout.map(Fanout::total),
        has_input: input.is_some(),
    })
}

/// The name of a root task is also its kind, and must be as short as a kind.
fn read_name(reader: &mut Reader<'_>) -> Box<str> {
    let name = if matches!(reader.row.get_ref("parent_task_id"), Ok(ValueRef::Null)) {
        reader.required::<Kind>("name").map(String::from)
    } else {
        reader.required::<TaskName>("name").map(String::from)
    };
    name.unwrap_or_default().into()
}

fn check_events(
    connection: &Connection,
    table: &str,
    imported: &ImportedRows,
    problems: &mut Problems,
) -> rusqlite::Result<()> {
    let sql = format!("SELECT id, run_id, task_id, name, at, payload FROM {table}");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut reader = Reader { row, what: "event", problems };
        let run = reader.required::<RunId>("run_id");
        let task = reader.optional::<TaskId>("task_id");
        reader.required::<String>("id");
        reader.required::<String>("name");
        reader.required::<Timestamp>("at");
        reader.optional::<Json>("payload");
        if run.is_some_and(|run| !imported.run_of.contains_key(&run)) {
            reader.report("run_id", "is not a run");
        }
        if task.is_some_and(|task| !imported.task_of.contains_key(&task)) {
            reader.report("task_id", "is not a task");
        }
    }
    Ok(())
}
