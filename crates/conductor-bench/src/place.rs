//! A file to measure on, and what is mostly done to it.

use crate::Outcome;
use conductor_model::{RunDraft, RunId, State, Task, TaskDraft, TaskId};
use conductor_store::{
    Environment, Query, Scope, SqliteOptions, SqliteStore, Store, Submit, Synchronous, TaskFilter,
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

/// A database file in a folder that goes when this is dropped.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) sync: Synchronous,
}

impl Place {
    pub(crate) fn new(sync: Synchronous) -> Outcome<Self> {
        Ok(Self { folder: tempfile::tempdir()?, sync })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("bench.db")
    }

    /// The store on this file, whose tables it makes.
    pub(crate) fn store(&self) -> Outcome<Arc<SqliteStore>> {
        open(&self.path(), self.sync)
    }

    /// A connection of the floor's to the same file, set up like ours.
    pub(crate) fn raw(&self) -> Outcome<Connection> {
        let connection = Connection::open(self.path())?;
        connection.pragma_update(None, "synchronous", format!("{:?}", self.sync))?;
        // Otherwise statements are compiled again when other values are bound.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        Ok(connection)
    }

    /// A connection to a file with one run and one parent of that many children, none of which exist yet.
    pub(crate) fn raw_with_parent(&self, children: u32) -> Outcome<Connection> {
        let store = self.store()?;
        submit(&store, TaskDraft::new("noop").input(json!({ "fanout": children })))?;
        self.raw()
    }

    /// A connection to a file with one run of that many children that are ready. The first has row key 2.
    pub(crate) fn raw_with_children(&self, children: u32) -> Outcome<Connection> {
        let store = self.store()?;
        fanned_out(&store, children)?;
        self.raw()
    }
}

pub(crate) fn open(path: &std::path::Path, sync: Synchronous) -> Outcome<Arc<SqliteStore>> {
    Ok(Arc::new(SqliteStore::open_with(path, SqliteOptions::default().synchronous(sync))?))
}

/// What is in the file, in bytes, after a checkpoint.
pub(crate) fn bytes_used(place: &Place) -> Outcome<f64> {
    let raw = place.raw()?;
    raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let number = |pragma: &str| raw.pragma_query_value(None, pragma, |row| row.get::<_, u32>(0));
    let pages = number("page_count")? - number("freelist_count")?;
    Ok(f64::from(pages) * f64::from(number("page_size")?))
}

/// How long it took.
pub(crate) fn time<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<Duration> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed())
}

pub(crate) fn submit(store: &SqliteStore, task: TaskDraft) -> Outcome<RunId> {
    submit_run(store, &RunDraft::new().task(task))
}

/// An open parent without children.
pub(crate) fn open_parent(store: &SqliteStore, kind: &str) -> Outcome<(RunId, TaskId)> {
    let run = submit(store, TaskDraft::new(kind).open())?;
    Ok((run, first_task(store, run)?.id))
}

/// The first task of a run.
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

/// A run of one parent with that many children of the kind `noop`, all of them ready.
pub(crate) fn fanned_out(store: &SqliteStore, children: u32) -> Outcome<RunId> {
    let run = submit(store, TaskDraft::new("noop").input(json!({ "fanout": children })))?;
    fan_out(store)?;
    Ok(run)
}

/// Creates all children that are missing.
pub(crate) fn fan_out(store: &SqliteStore) -> Outcome<()> {
    fan_out_step::run_once(store, Scope::All, &Environment::system())?;
    Ok(())
}

/// All leaves succeed at once, and the parents and runs are decided.
pub(crate) fn run_steps_until_idle(store: &SqliteStore, raw: &Connection) -> Outcome<()> {
    succeed_all(raw)?;
    aggregate::run_once(store, Scope::All, &Environment::system())?;
    Ok(())
}

/// All leaves succeed at once, each with a start and a success; their parents can be decided.
pub(crate) fn succeed_all(raw: &Connection) -> Outcome<()> {
    raw.execute_batch(
        "BEGIN IMMEDIATE;
         INSERT INTO conductor_events (run, task, name, at)
             SELECT run, key, name.column1, updated_at FROM conductor_tasks, (VALUES (9), (10)) name
             WHERE sealed IS NULL AND state = 0;
         UPDATE conductor_tasks SET state = 2, attempt = 1 WHERE sealed IS NULL AND state = 0;
         UPDATE conductor_tasks SET open_children = 0 WHERE sealed = 1 AND state < 2;
         UPDATE conductor_runs SET succeeded = succeeded + pending, pending = 0 WHERE state < 2;
         COMMIT;",
    )?;
    Ok(())
}

/// An engine with two workers, whose tasks do nothing.
pub(crate) fn engine(store: &Arc<SqliteStore>) -> Outcome<Engine> {
    Ok(Engine::builder(Arc::clone(store)).handler("noop", noop).workers(2).build()?)
}

#[expect(clippy::unnecessary_wraps, reason = "the form of every handler")]
pub(crate) fn noop(_: serde_json::Value, _: Context) -> Result<(), TaskError> {
    Ok(())
}

/// Runs a run to its end, and sees that all of it succeeded.
pub(crate) fn drain(engine: &Engine, store: &SqliteStore, run: RunId) -> Outcome<Duration> {
    let took = time(|| Ok(engine.run_until_settled(run)?))?;
    match store.run(run)?.map(|run| run.state) {
        Some(State::Succeeded) => Ok(took),
        other => Err(format!("the run is {other:?}").into()),
    }
}
