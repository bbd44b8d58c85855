//! The database that the processes of a test share, and the checks of its final state.

use crate::harness::Fallible;
use crate::support::pages::{all_tasks, events_named};
use conductor_conformance::assert_replays;
use conductor_model::{RunDraft, RunId, State, Task, TaskDraft, TaskId};
use conductor_store::{Environment, Query, SqliteOptions, SqliteStore, Store, Submit, Synchronous};
use conductor_workers::Engine;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A database in a temporary folder.
pub(crate) struct Database {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) store: SqliteStore,
    pub(crate) env: Environment,
}

impl Database {
    pub(crate) fn new() -> Fallible<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("processes.db");
        let options = SqliteOptions::default().synchronous(Synchronous::Normal);
        let store = SqliteStore::open_with(&path, options)?;
        Ok(Self { _folder: folder, path, store, env: Environment::system() })
    }

    pub(crate) fn submit(&self, run: &RunDraft) -> Fallible<RunId> {
        Ok(self.store.submit(&Submit::new(run.validate()?, &self.env))?.run)
    }

    pub(crate) fn is_settled(&self, run: RunId) -> Fallible<bool> {
        Ok(self.store.run(run)?.ok_or("the run is missing")?.state.is_terminal())
    }

    /// Returns the tasks of a run that are not parents.
    pub(crate) fn leaves(&self, run: RunId) -> Fallible<Vec<Task>> {
        let mut tasks = all_tasks(&self.store, run)?;
        tasks.retain(|task| task.child_counts.is_none());
        Ok(tasks)
    }

    /// Returns the number of successes of each task of a run, by its events.
    pub(crate) fn successes(&self, run: RunId) -> Fallible<HashMap<TaskId, u32>> {
        let mut times = HashMap::new();
        for event in events_named(&self.store, run, "task.succeeded")? {
            *times.entry(event.task.ok_or("a success without a task")?).or_default() += 1;
        }
        Ok(times)
    }

    /// Checks that each leaf has succeeded once, and that rows and events agree.
    pub(crate) fn check_all_succeeded(&self, run: RunId) -> Fallible<()> {
        let (leaves, successes) = (self.leaves(run)?, self.successes(run)?);
        for leaf in &leaves {
            let (state, times) = (leaf.state, successes.get(&leaf.id).copied().unwrap_or(0));
            if (state, times) != (State::Succeeded, 1) {
                return Err(format!("{} is {state}, with {times} successes: {leaf:?}", leaf.name).into());
            }
        }
        self.check_nothing_left(run)?;
        Ok(())
    }

    /// Checks that no claim is left, and no file of an engine beside the database.
    pub(crate) fn check_nothing_left(&self, run: RunId) -> Fallible<()> {
        assert_replays(&self.store);
        let open = self.leaves(run)?.into_iter().find(|task| !task.state.is_terminal());
        if let Some(task) = open {
            return Err(format!("{} is still {}", task.name, task.state).into());
        }
        // The next engine removes the files of dead engines, and its own file when it ends.
        drop(run_engine_here(&self.path)?);
        let folder = self.path.parent().ok_or("the file has no folder")?;
        for file in std::fs::read_dir(folder)? {
            let name = file?.file_name().to_string_lossy().into_owned();
            if name.contains("-engine-") {
                return Err(format!("{name} is left").into());
            }
        }
        Ok(())
    }
}

/// Runs one task with an engine in this process, so that the engine registers itself.
fn run_engine_here(path: &Path) -> Fallible<Engine> {
    let engine = Engine::builder(SqliteStore::open(path)?).handler("here", |(): (), _| Ok(())).build()?;
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("here")))?;
    engine.run_until_settled(run)?;
    Ok(engine)
}
