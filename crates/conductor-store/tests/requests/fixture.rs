//! A store with an example of every kind of run and task, and shorthand for requests on it.

use crate::support::TestStore;
use conductor_model::{Json, NewRun, NewTask, RunDraft, RunId, TaskDraft, TaskId, ValidationError};
use conductor_store::{
    Append, FanOut, Report, ReportBatch, ReportOutcome, ReportRejection, Scope, Store, Submit,
};
use rusqlite::{Connection, Row, types::Value};
use serde_json::json;

/// The runs of the example, by their ids.
pub(crate) const OPEN_RUN: u128 = 1;
pub(crate) const SEALED_RUN: u128 = 2;
pub(crate) const ENDED_RUN: u128 = 3;

/// The tasks of the example, by their ids. All of them are root tasks of the sealed run.
pub(crate) const LEAF: u128 = 1;
pub(crate) const RUNNING: u128 = 2;
pub(crate) const SUCCEEDED: u128 = 3;
pub(crate) const FAILED: u128 = 4;
pub(crate) const RETRY_DUE: u128 = 5;
pub(crate) const CANCELLED: u128 = 6;
pub(crate) const OPEN_PARENT: u128 = 7;
pub(crate) const PARENT: u128 = 8;

/// An id that no run and no task has.
pub(crate) const UNKNOWN: u128 = 9;

pub(crate) fn run(id: u128) -> RunId {
    RunId::from_u128(id)
}

pub(crate) fn task(id: u128) -> TaskId {
    TaskId::from_u128(id)
}

pub(crate) fn json(text: &str) -> Json {
    text.parse().unwrap()
}

pub(crate) fn new_task(name: &str) -> NewTask {
    TaskDraft::new(name).validate().unwrap()
}

/// Replaces an error by its text.
pub(crate) fn error_text<T>(result: Result<T, impl std::fmt::Display>) -> Result<(), String> {
    result.map(|_| ()).map_err(|error| error.to_string())
}

pub(crate) fn append_items(test: &TestStore, parent: u128, first: u32, items: &[&str]) -> Result<(), String> {
    let items = items.iter().map(|item| json(item)).collect();
    error_text(test.store.append(&Append::items(task(parent), first, items, &test.env)))
}

impl TestStore {
    /// Creates a store with the example.
    pub(crate) fn with_example() -> Self {
        let test = Self::new();
        let leaf = |id| TaskDraft::new("A").id(task(id));
        test.submit(&RunDraft::new().id(run(OPEN_RUN)).open().task(TaskDraft::new("A")));
        let sealed = RunDraft::new().id(run(SEALED_RUN)).idempotency_key("used").meta("a run");
        let leaves = [LEAF, RUNNING, SUCCEEDED, FAILED, RETRY_DUE, CANCELLED].map(leaf);
        let parents = [leaf(OPEN_PARENT).open(), leaf(PARENT).input(json!({"fanout": 2}))];
        test.submit(&sealed.tasks(leaves).tasks(parents));
        test.submit(&RunDraft::new().id(run(ENDED_RUN)));
        append_items(&test, OPEN_PARENT, 1, &["1", "2"]).unwrap();
        let fan_out = FanOut::new(Scope::All, 9, &test.env);
        assert_eq!(test.store.fan_out(&fan_out).unwrap().children, 2);
        for report in [
            Report::started(task(RUNNING)),
            Report::succeeded_with(task(SUCCEEDED), json("1")),
            Report::failed_permanently(task(FAILED), "it is broken"),
            Report::failed(task(RETRY_DUE), "it broke"),
            Report::cancelled(task(CANCELLED)),
        ] {
            test.report_one(report).unwrap();
        }
        assert_eq!(test.store.aggregate(&test.step(9)).unwrap().runs, 1);
        test
    }

    /// Submits JSON as a server would.
    pub(crate) fn submit_json(&self, text: &str) -> Result<(), String> {
        let run: NewRun = text.parse().map_err(|error: ValidationError| error.to_string())?;
        error_text(self.store.submit(&Submit::new(run, &self.env)))
    }

    /// Makes one report. A rejection is an error, and so is a stale attempt.
    pub(crate) fn report_one(&self, report: Report) -> Result<(), String> {
        match self.store.report(&ReportBatch::new([report], &self.env)).unwrap().pop().unwrap() {
            ReportOutcome::Applied | ReportOutcome::Unchanged => Ok(()),
            ReportOutcome::Stale { attempt } => Err(format!("stale: the attempt is {attempt}")),
            ReportOutcome::Rejected(rejection @ ReportRejection::Claimed(_)) => panic!("{rejection}"),
            ReportOutcome::Rejected(rejection) => Err(rejection.to_string()),
        }
    }

    /// Reads all rows and the definitions of all tables of the store.
    pub(crate) fn dump(&self) -> Vec<String> {
        let connection = self.connect();
        let tables = "SELECT name, sql FROM sqlite_schema WHERE name GLOB 'conductor_*' AND type = 'table'";
        let mut lines = Vec::new();
        for table in rows(&connection, tables) {
            let [Value::Text(name), _] = table.as_slice() else { panic!("{table:?}") };
            lines.push(format!("{table:?}"));
            let rows = rows(&connection, &format!("SELECT * FROM {name} ORDER BY 1"));
            lines.extend(rows.into_iter().map(|row| format!("{name}: {row:?}")));
        }
        assert!(lines.len() > 20, "the dump has content to compare");
        lines
    }
}

fn rows(connection: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let row = |row: &Row<'_>| (0..columns).map(|column| row.get(column)).collect();
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}
