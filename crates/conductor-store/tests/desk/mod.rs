//! A store on a file with something of everything in it, and a second connection that looks at the file.

use conductor_model::{Json, NewRun, NewTask, RunDraft, RunId, TaskDraft, TaskId, Timestamp};
use conductor_store::{
    Append, Environment, FanOut, Report, ReportBatch, ReportOutcome, ReportRejection, RotationCursor, Scope,
    SqliteStore, Step, Store, Submit,
};
use rusqlite::Connection;
use rusqlite::types::Value;
use serde_json::json;

/// The numbers of its runs.
pub(crate) const OPEN_RUN: u128 = 1;
pub(crate) const SEALED_RUN: u128 = 2;
pub(crate) const ENDED_RUN: u128 = 3;

/// The numbers of its tasks, all root tasks of the sealed run.
pub(crate) const LEAF: u128 = 1;
pub(crate) const RUNNING: u128 = 2;
pub(crate) const SUCCEEDED: u128 = 3;
pub(crate) const FAILED: u128 = 4;
pub(crate) const RETRY_DUE: u128 = 5;
pub(crate) const CANCELLED: u128 = 6;
pub(crate) const OPEN_PARENT: u128 = 7;
pub(crate) const PARENT: u128 = 8;

/// The number of nothing.
pub(crate) const UNKNOWN: u128 = 9;

pub(crate) struct Desk {
    pub(crate) store: SqliteStore,
    pub(crate) env: Environment,
    /// Sees what is in the file, not what the store says of it.
    pub(crate) look: Connection,
    _folder: tempfile::TempDir,
}

pub(crate) fn run(number: u128) -> RunId {
    RunId::from_u128(number)
}

pub(crate) fn task(number: u128) -> TaskId {
    TaskId::from_u128(number)
}

pub(crate) fn json(text: &str) -> Json {
    text.parse().unwrap()
}

pub(crate) fn new_task(name: &str) -> NewTask {
    TaskDraft::new(name).validate().unwrap()
}

/// The words of an error.
pub(crate) fn words<T>(result: Result<T, impl std::fmt::Display>) -> Result<(), String> {
    result.map(|_| ()).map_err(|error| error.to_string())
}

impl Desk {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conductor.db");
        let store = SqliteStore::open(&path).unwrap();
        let look = Connection::open(&path).unwrap();
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let desk = Self { store, env: Environment::seeded(now, 7), look, _folder: folder };
        desk.lay();
        desk
    }

    fn lay(&self) {
        let leaf = |number| TaskDraft::new("A").id(task(number));
        self.submit(RunDraft::new().id(run(OPEN_RUN)).open().task(TaskDraft::new("A")));
        let sealed = RunDraft::new().id(run(SEALED_RUN)).idempotency_key("used").meta("a run");
        let leaves = [LEAF, RUNNING, SUCCEEDED, FAILED, RETRY_DUE, CANCELLED].map(leaf);
        let parents = [leaf(OPEN_PARENT).open(), leaf(PARENT).input(json!({"fanout": 2}))];
        self.submit(sealed.tasks(leaves).tasks(parents));
        self.submit(RunDraft::new().id(run(ENDED_RUN)));
        let items = vec![json("1"), json("2")];
        self.store.append(&Append::items(task(OPEN_PARENT), 1, items, &self.env)).unwrap();
        let (scope, now) = (Scope::All, self.env.now());
        assert_eq!(
            self.store
                .fan_out(&FanOut { scope, now, ids: self.env.ids(9), cursor: RotationCursor::default() })
                .unwrap()
                .children,
            2
        );
        self.lay_reports();
        assert_eq!(self.store.aggregate(&Step { scope, now, limit: 9 }).unwrap().runs, 1);
    }

    fn lay_reports(&self) {
        let reports = [
            Report::started(task(RUNNING)),
            Report::succeeded_with(task(SUCCEEDED), json("1")),
            Report::failed_permanently(task(FAILED), "it is broken"),
            Report::failed(task(RETRY_DUE), "it broke"),
            Report::cancelled(task(CANCELLED)),
        ];
        for answer in self.store.report(&ReportBatch::new(reports, &self.env)).unwrap() {
            assert_eq!(answer, ReportOutcome::Applied);
        }
    }

    pub(crate) fn submit(&self, draft: RunDraft) -> RunId {
        let run = draft.validate().unwrap();
        drop(draft);
        self.store.submit(&Submit::new(run, &self.env)).unwrap().run
    }

    /// Submits what stands in a JSON text, as a server would.
    pub(crate) fn submit_json(&self, text: &str) -> Result<(), String> {
        let run: NewRun =
            text.parse().map_err(|invalid: conductor_model::ValidationError| invalid.to_string())?;
        words(self.store.submit(&Submit::new(run, &self.env)))
    }

    /// Makes one report; refused and stale ones are errors here.
    pub(crate) fn report(&self, report: Report) -> Result<(), String> {
        match self.store.report(&ReportBatch::new([report], &self.env)).unwrap().pop().unwrap() {
            ReportOutcome::Applied | ReportOutcome::Unchanged => Ok(()),
            ReportOutcome::Stale { attempt } => Err(format!("stale: the attempt is {attempt}")),
            ReportOutcome::Rejected(refused @ ReportRejection::Claimed(_)) => panic!("{refused}"),
            ReportOutcome::Rejected(refused) => Err(refused.to_string()),
        }
    }

    /// Every row of every table of ours, and how the tables are made.
    pub(crate) fn dump(&self) -> Vec<String> {
        let tables = "SELECT name, sql FROM sqlite_schema WHERE name GLOB 'conductor_*' AND type = 'table'";
        let mut lines = Vec::new();
        for table in self.rows(tables) {
            let [Value::Text(name), _] = table.as_slice() else { panic!("{table:?}") };
            lines.push(format!("{table:?}"));
            let rows = self.rows(&format!("SELECT * FROM {name} ORDER BY 1"));
            lines.extend(rows.into_iter().map(|row| format!("{name}: {row:?}")));
        }
        assert!(lines.len() > 20, "there is something to compare");
        lines
    }

    fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        let mut statement = self.look.prepare(sql).unwrap();
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| (0..columns).map(|column| row.get(column)).collect();
        statement.query_map([], row).unwrap().map(Result::unwrap).collect()
    }
}
