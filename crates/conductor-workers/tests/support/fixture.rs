//! A store and the calls that most tests need.

use crate::support::pages::{all_events, all_tasks, events_named};
use crate::support::waiting::Watchdog;
use conductor_conformance::assert_replays;
use conductor_model::{Event, EventBody, Run, RunDraft, RunId, State, Task, TaskDraft, TaskId};
use conductor_store::{
    Environment, EventFilter, Query, Report, ReportBatch, ReportOutcome, SqliteStore, Store, Submit,
};
use conductor_workers::{Engine, EngineBuilder, RunError};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// A store, with calls that need no engine.
pub(crate) struct Fixture {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) env: Environment,
    folder: Option<TempDir>,
}

impl Fixture {
    /// Opens a store in memory.
    pub(crate) fn new() -> Self {
        Self::with_environment(Environment::system())
    }

    /// Opens a store in memory, with the clock and the ids of `env`.
    pub(crate) fn with_environment(env: Environment) -> Self {
        let store = Arc::new(SqliteStore::open_in_memory().unwrap());
        Self { store, env, folder: None }
    }

    /// Opens a store in a temporary file, for tests that open it more than once.
    pub(crate) fn on_disk() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(folder.path().join("test.db")).unwrap());
        Self { store, env: Environment::system(), folder: Some(folder) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.as_ref().expect("a store on disk").path().join("test.db")
    }

    /// Opens the same file again.
    pub(crate) fn another_handle(&self) -> Arc<SqliteStore> {
        Arc::new(SqliteStore::open(self.path()).unwrap())
    }

    pub(crate) fn engine(&self) -> EngineBuilder {
        Engine::builder(Arc::clone(&self.store))
    }

    pub(crate) fn submit(&self, task: TaskDraft) -> RunId {
        self.submit_all([task])
    }

    pub(crate) fn submit_all(&self, tasks: impl IntoIterator<Item = TaskDraft>) -> RunId {
        let run = RunDraft::new().tasks(tasks).validate().unwrap();
        self.store.submit(&Submit::new(run, &self.env)).unwrap().run
    }

    pub(crate) fn run(&self, run: RunId) -> Run {
        self.store.run(run).unwrap().unwrap()
    }

    pub(crate) fn task(&self, task: TaskId) -> Task {
        self.store.task(task).unwrap().unwrap()
    }

    pub(crate) fn tasks(&self, run: RunId) -> Vec<Task> {
        all_tasks(&*self.store, run).unwrap()
    }

    pub(crate) fn first_task(&self, run: RunId) -> Task {
        self.tasks(run).remove(0)
    }

    pub(crate) fn children(&self, parent: TaskId) -> Vec<Task> {
        self.store.children(parent, 0, 1000).unwrap().items
    }

    pub(crate) fn events(&self, run: RunId) -> Vec<Event> {
        all_events(&*self.store, EventFilter { run: Some(run), ..EventFilter::default() }).unwrap()
    }

    /// Counts the events of one name in a run.
    pub(crate) fn count_events(&self, run: RunId, name: &str) -> usize {
        events_named(&*self.store, run, name).unwrap().len()
    }

    /// Runs a single task with this engine, and returns its final record.
    pub(crate) fn run_task(&self, engine: &Engine, task: TaskDraft) -> Task {
        let run = self.submit(task);
        settle(engine, run);
        self.first_task(run)
    }

    /// Reports that a worker outside the engine has started a task.
    pub(crate) fn start_externally(&self, task: TaskId) {
        self.report(Report::started(task));
    }

    pub(crate) fn report(&self, report: Report) {
        let answer = self.store.report(&ReportBatch::new([report], &self.env)).unwrap();
        assert_eq!(answer, [ReportOutcome::Applied]);
    }

    /// Checks that each success is recorded once, and that a replay of the events gives every state.
    pub(crate) fn assert_consistent(&self, run: RunId) {
        let successes = self.count_events(run, "task.succeeded");
        let leaves = self.tasks(run).into_iter().filter(|task| task.child_counts.is_none());
        assert_eq!(successes, leaves.filter(|task| task.state == State::Succeeded).count());
        assert_replays(&*self.store);
    }
}

/// Returns the error texts of all failed attempts.
pub(crate) fn failures(events: &[Event]) -> Vec<String> {
    let error = |event: &Event| match &event.body {
        EventBody::TaskFailed { error, .. } => Some(error.to_string()),
        _ => None,
    };
    events.iter().filter_map(error).collect()
}

/// Works until a run is settled. Ends the whole test program if that takes longer than the time limit.
pub(crate) fn settle(engine: &Engine, run: RunId) -> Run {
    try_settle(engine, run).unwrap()
}

/// Like [`settle`], but returns the error.
pub(crate) fn try_settle(engine: &Engine, run: RunId) -> Result<Run, RunError> {
    let _watchdog = Watchdog::new("run_until_settled");
    engine.run_until_settled(run)
}
