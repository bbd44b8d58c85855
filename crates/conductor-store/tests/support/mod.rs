//! A store on a file in a temporary folder, for all test binaries of this crate.
#![allow(dead_code, reason = "each test binary uses only a part of this module")]

use conductor_model::{Run, RunDraft, RunId, Task, TaskId, Timestamp};
use conductor_store::{
    Admin, DivergenceKind, Environment, FanOut, Query, Repair, RepairReport, Report, ReportBatch, Scope,
    SqliteOptions, SqliteStore, Step, Store, Submit, TaskFilter, Verify, sqlite::Synchronous,
};
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::OnceLock;
use tempfile::TempDir;

/// The present moment of every [`TestStore`]: 2026-01-01T00:00:00Z.
const NOW_MS: i64 = 1_767_225_600_000;

const FILE: &str = "conductor.db";

/// A store on a file in a temporary folder, with a seeded environment.
pub(crate) struct TestStore {
    pub(crate) store: SqliteStore,
    pub(crate) env: Environment,
    folder: TempDir,
}

impl TestStore {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, empty_database()).unwrap();
        // No test cuts the power, so a commit need not wait for the disk.
        let options = SqliteOptions::default().synchronous(Synchronous::Normal);
        let store = SqliteStore::open_with(&path, options).unwrap();
        let env = Environment::seeded(Timestamp::from_millis(NOW_MS).unwrap(), 1);
        Self { store, env, folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// Opens a connection that is independent of the store.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    /// Executes statements as another program would.
    pub(crate) fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connect().execute_batch(sql)
    }

    /// Executes statements as another program would, without the checks of the tables.
    pub(crate) fn change(&self, sql: &str) {
        let connection = self.connect();
        connection.pragma_update(None, "ignore_check_constraints", true).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    /// Reads one column of texts.
    pub(crate) fn texts(&self, sql: &str) -> Vec<String> {
        let connection = self.connect();
        let mut statement = connection.prepare(sql).unwrap();
        let texts = statement.query_map([], |row| row.get(0)).unwrap();
        texts.collect::<rusqlite::Result<_>>().unwrap()
    }

    pub(crate) fn submit(&self, draft: &RunDraft) -> RunId {
        self.store.submit(&Submit::new(draft.validate().unwrap(), &self.env)).unwrap().run
    }

    pub(crate) fn run(&self, run: RunId) -> Run {
        self.store.run(run).unwrap().unwrap()
    }

    pub(crate) fn task(&self, task: TaskId) -> Task {
        self.store.task(task).unwrap().unwrap()
    }

    /// Reads all tasks of a run.
    pub(crate) fn tasks(&self, run: RunId) -> Vec<Task> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.store.tasks(run, TaskFilter::default(), cursor, 1000).unwrap();
            all.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return all;
            }
        }
    }

    /// Finds the first task of this name.
    pub(crate) fn task_named(&self, run: RunId, name: &str) -> Task {
        self.tasks(run).into_iter().find(|task| task.name.as_str() == name).unwrap()
    }

    pub(crate) fn id_of(&self, run: RunId, name: &str) -> TaskId {
        self.task_named(run, name).id
    }

    /// The row key of a task: 1,024 times the number of its block, plus its offset.
    pub(crate) fn row_key(&self, task: TaskId) -> i64 {
        let sql = "SELECT b.block * 1024 + n.n - b.low FROM conductor_blocks b JOIN conductor_offsets n \
            ON n.n BETWEEN b.low AND b.low + b.count - 1 WHERE b.prefix || n.suffix = ?1";
        self.connect().query_row(sql, [task.to_string()], |row| row.get(0)).unwrap()
    }

    /// A step over all runs.
    pub(crate) fn step(&self, limit: u32) -> Step {
        Step::new(Scope::All, limit, &self.env)
    }

    /// Creates all missing children, `ids` at a time.
    pub(crate) fn fan_out_all(&self, ids: u32) {
        while self.store.fan_out(&FanOut::new(Scope::All, ids, &self.env)).unwrap().more {}
    }

    /// Decides all parents and runs that can be decided.
    pub(crate) fn aggregate_all(&self) {
        while self.store.aggregate(&self.step(1000)).unwrap().more {}
    }

    /// Verifies all runs and returns the kinds of divergence, each once.
    pub(crate) fn divergence_kinds(&self) -> Vec<DivergenceKind> {
        let report = self.store.verify(&Verify::all()).unwrap();
        let mut kinds: Vec<_> = report.divergences.iter().map(|divergence| divergence.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// Repairs all runs, two rows in each transaction.
    pub(crate) fn repair(&self) -> RepairReport {
        let mut all = RepairReport::default();
        let mut request = Repair { rows: 2, ..Repair::all(&self.env) };
        loop {
            let report = self.store.repair(&request).unwrap();
            all.repaired.extend(report.repaired);
            all.unrepairable.extend(report.unrepairable);
            all.runs += report.runs;
            let Some(next) = report.next else { return all };
            request = request.after(next);
        }
    }

    /// Reports, and ignores how each report is answered.
    pub(crate) fn report(&self, reports: impl IntoIterator<Item = Report>) {
        let _ = self.store.report(&ReportBatch::new(reports, &self.env)).unwrap();
    }
}

/// The bytes of a new database. Copying them is faster than running the migrations for each test.
fn empty_database() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        drop(SqliteStore::open(&path).unwrap());
        std::fs::read(&path).unwrap()
    })
}
