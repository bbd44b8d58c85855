//! Reads the original's rows into types that cannot hold a bad value, and notes every one that does not fit.

use super::{Problems, RETRY_COLUMNS, columns};
use conductor_model::{
    Fanout, Json, Kind, MAX_JSON_DEPTH, MAX_NAME_BYTES, MAX_RETRIES, MaxRetries, RunId, State, TaskId,
    TaskName, Timestamp,
};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::collections::HashMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// No count of retries that happened is greater: what is greater would soon overflow the number of attempts.
const MOST_RETRIED: u32 = 1_000_000;

/// The longest name of a task that fans out, in bytes. Its children's names begin with it, and a [`TaskName`] has at
/// most four times the bytes of a given name. Of the levels of its input, every second one is a task.
const LONGEST_PARENT: usize = 4 * MAX_NAME_BYTES - MAX_JSON_DEPTH / 2 * "#10000000".len();

/// A run of the original's.
#[derive(Debug)]
pub(super) struct OldRun {
    pub(super) id: RunId,
    pub(super) state: State,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

/// A task of the original's, without its JSON: what decides its place and its state.
#[derive(Debug)]
pub(super) struct OldTask {
    pub(super) id: TaskId,
    /// Its run's place in [`Old::runs`].
    pub(super) run: usize,
    /// Its parent's place in [`Old::tasks`].
    pub(super) parent: Option<usize>,
    pub(super) name: Box<str>,
    pub(super) state: State,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) retry_count: u32,
    pub(super) max_retries: MaxRetries,
    /// How many children its input asks for.
    pub(super) fanout: Option<u32>,
    pub(super) has_input: bool,
}

/// The original's runs and tasks, each in the order of their ids, which is their age.
#[derive(Debug, Default)]
pub(super) struct Old {
    pub(super) runs: Vec<OldRun>,
    pub(super) tasks: Vec<OldTask>,
    pub(super) task_of: HashMap<TaskId, usize>,
    pub(super) run_of: HashMap<RunId, usize>,
}

/// Reads all rows. What is returned is whole only if no problem was noted.
pub(super) fn survey(
    connection: &Connection,
    [runs, tasks, events]: [&str; 3],
    problems: &mut Problems,
) -> rusqlite::Result<Old> {
    let mut old = Old::default();
    read_runs(connection, runs, &mut old, problems)?;
    let unlinked = read_tasks(connection, tasks, &mut old, problems)?;
    for (task, parent) in unlinked {
        link(&mut old, task, parent, problems);
    }
    let known = Known { runs: &old.run_of, tasks: &old.task_of };
    check_events(connection, events, known, problems)?;
    Ok(old)
}

/// A row that is being read: what is wrong with it is noted under its table and id.
pub(super) struct Reader<'r> {
    row: &'r Row<'r>,
    what: &'static str,
    problems: &'r mut Problems,
}

impl Reader<'_> {
    fn note(&mut self, column: &str, why: impl Display) {
        self.problem(format_args!("{column} {why}"));
    }

    fn problem(&mut self, problem: impl Display) {
        let id = match self.row.get_ref(0) {
            Ok(ValueRef::Text(id)) => String::from_utf8_lossy(id).chars().take(40).collect(),
            _ => String::from("?"),
        };
        self.problems.add(format!("{} {id:?}: {problem}", self.what));
    }

    /// A text, if there is one.
    fn text(&mut self, column: &str) -> Option<&str> {
        let row = self.row;
        match row.get_ref(column) {
            Ok(ValueRef::Null) => None,
            Ok(ValueRef::Text(text)) if let Ok(text) = std::str::from_utf8(text) => Some(text),
            _ => {
                self.note(column, "is not a text");
                None
            }
        }
    }

    /// A value that may be absent.
    fn maybe<T: FromStr<Err: Display>>(&mut self, column: &str) -> Option<T> {
        match self.text(column)?.parse() {
            Ok(value) => Some(value),
            Err(why) => {
                self.problem(format_args!("{column}: {why}"));
                None
            }
        }
    }

    /// A value that must be there.
    fn value<T: FromStr<Err: Display>>(&mut self, column: &str) -> Option<T> {
        if matches!(self.row.get_ref(column), Ok(ValueRef::Null)) {
            self.note(column, "is missing");
            return None;
        }
        self.maybe(column)
    }

    fn state(&mut self) -> Option<State> {
        let text = self.value::<String>("state")?;
        let state = State::ALL.into_iter().find(|state| state.as_str() == text);
        if state.is_none() {
            self.note(
                "state",
                format_args!("{text:?} is not one of PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED"),
            );
        }
        state
    }

    /// A number; NULL is the column's default.
    fn number(&mut self, column: &str, default: u32, bounds: RangeInclusive<u32>) -> u32 {
        match self.row.get_ref(column) {
            Ok(ValueRef::Null) => return default,
            Ok(ValueRef::Integer(number))
                if let Ok(number) = u32::try_from(number)
                    && bounds.contains(&number) =>
            {
                return number;
            }
            _ => {}
        }
        let given = match self.row.get_ref(column) {
            Ok(ValueRef::Integer(number)) => number.to_string(),
            Ok(ValueRef::Real(number)) => number.to_string(),
            Ok(ValueRef::Text(text)) => {
                format!("{:?}", String::from_utf8_lossy(text).chars().take(40).collect::<String>())
            }
            _ => String::from("a BLOB"),
        };
        self.note(column, format_args!("must be an integer in {bounds:?}, but is {given}"));
        default
    }
}

fn read_runs(
    connection: &Connection,
    table: &str,
    old: &mut Old,
    problems: &mut Problems,
) -> rusqlite::Result<()> {
    let sql = format!("SELECT id, state, created_at, updated_at, meta FROM {table} ORDER BY upper(id)");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut reader = Reader { row, what: "run", problems };
        let (id, state) = (reader.value::<RunId>("id"), reader.state());
        let times = (reader.value("created_at"), reader.value("updated_at"));
        reader.maybe::<Json>("meta");
        let Some(id) = id else { continue };
        if old.run_of.insert(id, old.runs.len()).is_some() {
            reader.note("id", "occurs twice");
        }
        old.runs.push(OldRun {
            id,
            state: state.unwrap_or(State::Pending),
            created_at: times.0.unwrap_or(Timestamp::MIN),
            updated_at: times.1.unwrap_or(Timestamp::MIN),
        });
    }
    Ok(())
}

/// Reads the tasks; what is returned are those that name a parent, which may come later.
fn read_tasks(
    connection: &Connection,
    table: &str,
    old: &mut Old,
    problems: &mut Problems,
) -> rusqlite::Result<Vec<(usize, TaskId)>> {
    let mut children = Vec::new();
    let mut statement = connection.prepare(&tasks_sql(connection, table)?)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut reader = Reader { row, what: "task", problems };
        let parent = reader.maybe::<TaskId>("parent_task_id");
        let Some(task) = read_task(&mut reader, &old.run_of) else { continue };
        if let Some(parent) = parent {
            children.push((old.tasks.len(), parent));
        }
        if old.task_of.insert(task.id, old.tasks.len()).is_some() {
            reader.note("id", "occurs twice");
        }
        old.tasks.push(task);
    }
    Ok(children)
}

/// All columns of a task, with the defaults of those that the original's third migration adds.
pub(super) fn tasks_sql(connection: &Connection, table: &str) -> rusqlite::Result<String> {
    let there = columns(connection, table)?;
    let late = RETRY_COLUMNS.map(|(name, default)| {
        if there.iter().any(|column| column == name) { name.into() } else { format!("{default} AS {name}") }
    });
    let late = late.join(", ");
    Ok(format!(
        "SELECT id, run_id, parent_task_id, name, state, created_at, updated_at, input, output, {late} \
         FROM {table} ORDER BY upper(id)"
    ))
}

/// `None` when the id itself cannot be read; else a task in which a placeholder stands for what could not.
fn read_task(reader: &mut Reader<'_>, runs: &HashMap<RunId, usize>) -> Option<OldTask> {
    let id = reader.value::<TaskId>("id");
    let run = reader.value::<RunId>("run_id");
    let place = run.and_then(|run| runs.get(&run).copied());
    if place.is_none()
        && let Some(run) = run
    {
        reader.note("run_id", format_args!("{run} is not a run"));
    }
    let name = read_name(reader);
    let state = reader.state();
    let times = (reader.value("created_at"), reader.value("updated_at"));
    let input = reader.maybe::<Json>("input");
    reader.maybe::<Json>("output");
    reader.text("last_error");
    let retry_count = reader.number("retry_count", 0, 0..=MOST_RETRIED);
    let max_retries = reader.number("max_retries", MaxRetries::default().get(), 0..=MAX_RETRIES);
    // What is no fan-out for us was none for the original.
    let fanout = input.as_ref().and_then(|input| Fanout::of(input).ok().flatten());
    if fanout.is_some() && name.len() > LONGEST_PARENT {
        let why = format_args!(
            "must have at most {LONGEST_PARENT} bytes, because the names of its children start with it, but has {}",
            name.len()
        );
        reader.note("name", why);
    }
    Some(OldTask {
        id: id?,
        run: place.unwrap_or(usize::MAX),
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

/// The name of a root task is a kind, too, and as short as that.
fn read_name(reader: &mut Reader<'_>) -> Box<str> {
    let name = if matches!(reader.row.get_ref("parent_task_id"), Ok(ValueRef::Null)) {
        reader.value::<Kind>("name").map(String::from)
    } else {
        reader.value::<TaskName>("name").map(String::from)
    };
    name.unwrap_or_default().into()
}

fn link(old: &mut Old, task: usize, parent: TaskId, problems: &mut Problems) {
    let OldTask { id, run, .. } = old.tasks[task];
    let why = match old.task_of.get(&parent) {
        Some(&place) if old.tasks[place].run == run => {
            old.tasks[task].parent = Some(place);
            return;
        }
        Some(_) => "belongs to another run",
        None => "does not exist",
    };
    // Of a task without a run, that was noted.
    if run != usize::MAX {
        problems.add(format!("task {id}: its parent {parent} {why}"));
    }
}

#[derive(Clone, Copy)]
struct Known<'a> {
    runs: &'a HashMap<RunId, usize>,
    tasks: &'a HashMap<TaskId, usize>,
}

fn check_events(
    connection: &Connection,
    table: &str,
    known: Known<'_>,
    problems: &mut Problems,
) -> rusqlite::Result<()> {
    let sql = format!("SELECT id, run_id, task_id, name, at, payload FROM {table}");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut reader = Reader { row, what: "event", problems };
        let run = reader.value::<RunId>("run_id");
        let task = reader.maybe::<TaskId>("task_id");
        reader.value::<String>("id");
        reader.value::<String>("name");
        reader.value::<Timestamp>("at");
        reader.maybe::<Json>("payload");
        if run.is_some_and(|run| !known.runs.contains_key(&run)) {
            reader.note("run_id", "is not a run");
        }
        if task.is_some_and(|task| !known.tasks.contains_key(&task)) {
            reader.note("task_id", "is not a task");
        }
    }
    Ok(())
}
