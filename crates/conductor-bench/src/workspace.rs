//! A database file to measure on, and common preparations.

use crate::outcome::Outcome;
use conductor_model::{RunDraft, RunId, State, Task, TaskDraft, TaskId};
use conductor_store::{
    AttemptResult, Claim, ClaimedTask, Environment, KindQuota, Query, RegisterEngine, Scope, Settle,
    SqliteOptions, SqliteStore, Store, Submit, Synchronous, TaskFilter,
};
use conductor_workers::steps::{aggregate, fan_out as fan_out_step};
use conductor_workers::{Context, Engine, TaskError};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A database file in a folder that is deleted on drop.
pub(crate) struct Workspace {
    folder: TempDir,
    pub(crate) sync: Synchronous,
}

impl Workspace {
    pub(crate) fn new(sync: Synchronous) -> Outcome<Self> {
        Ok(Self { folder: tempfile::tempdir()?, sync })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("bench.db")
    }

    /// Opens the store on this file, and creates its tables.
    pub(crate) fn store(&self) -> Outcome<Arc<SqliteStore>> {
        open(&self.path(), self.sync)
    }

    /// Opens a raw connection to the same file with the same settings.
    pub(crate) fn raw(&self) -> Outcome<Connection> {
        let connection = Connection::open(self.path())?;
        connection.pragma_update(None, "synchronous", format!("{:?}", self.sync))?;
        // Without this, SQLite recompiles statements when other values are bound.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(256);
        Ok(connection)
    }

    /// Opens a raw connection to a file with one run and one parent, whose children do not exist yet.
    pub(crate) fn raw_with_parent(&self, children: u32) -> Outcome<Connection> {
        let store = self.store()?;
        submit(&store, TaskDraft::new("noop").input(json!({ "fanout": children })))?;
        self.raw()
    }

    /// Opens a raw connection to a file with one run and ready children.
    pub(crate) fn raw_with_children(&self, children: u32) -> Outcome<Connection> {
        let store = self.store()?;
        fanned_out(&store, children)?;
        self.raw()
    }
}

pub(crate) fn open(path: &std::path::Path, sync: Synchronous) -> Outcome<Arc<SqliteStore>> {
    Ok(Arc::new(SqliteStore::open_with(path, SqliteOptions::default().synchronous(sync))?))
}

/// Returns the used bytes of the file, after a checkpoint.
pub(crate) fn bytes_used(workspace: &Workspace) -> Outcome<f64> {
    let raw = workspace.raw()?;
    raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let number = |pragma: &str| raw.pragma_query_value(None, pragma, |row| row.get::<_, u32>(0));
    let pages = number("page_count")? - number("freelist_count")?;
    Ok(f64::from(pages) * f64::from(number("page_size")?))
}

/// Returns the time that `work` takes.
pub(crate) fn time<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<Duration> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed())
}

pub(crate) fn submit(store: &SqliteStore, task: TaskDraft) -> Outcome<RunId> {
    submit_run(store, &RunDraft::new().task(task))
}

/// Submits an open parent without children.
pub(crate) fn open_parent(store: &SqliteStore, kind: &str) -> Outcome<(RunId, TaskId)> {
    let run = submit(store, TaskDraft::new(kind).open())?;
    Ok((run, first_task(store, run)?.id))
}

/// Returns the first task of a run.
pub(crate) fn first_task(store: &SqliteStore, run: RunId) -> Outcome<Task> {
    store
        .tasks(run, TaskFilter::default(), None, 1)?
        .items
        .into_iter()
        .next()
        .ok_or("a run without tasks".into())
}

pub(crate) fn submit_run(store: &SqliteStore, run: &RunDraft) -> Outcome<RunId> {
    Ok(store.submit(&Submit::new(run.validate()?, &Environment::system()))?.run)
}

/// Submits a run with one parent and that many ready children of kind `noop`.
pub(crate) fn fanned_out(store: &SqliteStore, children: u32) -> Outcome<RunId> {
    let run = submit(store, TaskDraft::new("noop").input(json!({ "fanout": children })))?;
    fan_out(store)?;
    Ok(run)
}

/// Creates all missing children.
pub(crate) fn fan_out(store: &SqliteStore) -> Outcome<()> {
    fan_out_step::run_once(store, Scope::All, &Environment::system())?;
    Ok(())
}

/// Settles all leaves of kind `noop` as succeeded, and decides their parents and runs.
pub(crate) fn settle_all(store: &SqliteStore) -> Outcome<()> {
    let env = Environment::system();
    attempt_all(store, &env, "noop", |_| Ok(SUCCEEDED))?;
    aggregate::run_once(store, Scope::All, &env)?;
    Ok(())
}

/// The result of a task without an output.
pub(crate) const SUCCEEDED: AttemptResult = AttemptResult::Succeeded { output: None };

/// Claims all ready leaves of a kind, and settles each with a result.
pub(crate) fn attempt_all(
    store: &SqliteStore,
    env: &Environment,
    kind: &str,
    mut result: impl FnMut(&ClaimedTask) -> Outcome<AttemptResult>,
) -> Outcome<()> {
    let registration = store.register_engine(&RegisterEngine::new(env))?;
    let mut results = Vec::new();
    loop {
        let claim = Claim::new(registration.key(), vec![KindQuota::new(kind.parse()?, 1_000)], 30_000, env);
        let claimed = store.settle(&Settle::new(results, env).and_claim(claim))?.claimed.tasks();
        if claimed.is_empty() {
            return Ok(());
        }
        let settled = claimed.iter().map(|task| Ok((task.fence, result(task)?)));
        results = settled.collect::<Outcome<_>>()?;
    }
}

/// Builds an engine with two workers and a handler that does nothing.
pub(crate) fn engine(store: &Arc<SqliteStore>) -> Outcome<Engine> {
    Ok(Engine::builder(Arc::clone(store)).handler("noop", noop).workers(2).build()?)
}

#[expect(clippy::unnecessary_wraps, reason = "the form of every handler")]
pub(crate) fn noop(_: serde_json::Value, _: Context) -> Result<(), TaskError> {
    Ok(())
}

/// Works until a run is settled, and checks that it succeeded.
pub(crate) fn drain(engine: &Engine, store: &SqliteStore, run: RunId) -> Outcome<Duration> {
    let took = time(|| Ok(engine.run_until_settled(run)?))?;
    match store.run(run)?.map(|run| run.state) {
        Some(State::Succeeded) => Ok(took),
        other => Err(format!("the run is {other:?}").into()),
    }
}
