//! The workers of Origin Conductor.
//!
//! Each worker repeats one bounded step of a [`Store`](conductor_store::Store) until nothing is left to do, and
//! may be stopped, killed or run twice at any point: [`fanout`] creates the children that are missing,
//! [`aggregate`] decides parents and runs whose children are all settled, [`retry`] makes failed tasks PENDING
//! whose retry is due. [`settle_all`] repeats the three until nothing changes.
//!
//! ```
//! use conductor_model::{RunDraft, State, TaskDraft};
//! use conductor_store::{Query, Report, Reports, Scope, Source, SqliteStore, Store, Submit};
//! use conductor_workers::{aggregate, fanout};
//! use serde_json::json;
//!
//! let store = SqliteStore::open_in_memory()?;
//! let source = Source::system();
//!
//! let run = RunDraft::new().task(TaskDraft::new("PARENT").input(json!({"fanout": 3}))).check()?;
//! let run = store.submit(&Submit::new(run, &source))?.run;
//! assert_eq!(fanout::run_once(&store, Scope::Run(run), &source)?.children, 3);
//!
//! // Somebody does the work, and reports it.
//! let parent = store.tasks(run, Default::default(), None, 1)?.items[0].id;
//! let children = store.children(parent, 0, 100)?.items;
//! assert_eq!(children[2].name.as_str(), "PARENT#3");
//! store.report(&Reports::new(children.iter().map(|child| Report::succeeded(child.id)), &source))?;
//!
//! aggregate::run_once(&store, Scope::Run(run), &source)?;
//! assert_eq!(store.run(run)?.unwrap().state, State::Succeeded);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod aggregate;
#[cfg(feature = "tokio")]
mod asynchronous;
mod attempt;
mod clock;
mod context;
mod engine;
pub mod fanout;
mod handler;
pub mod retry;
mod settle_all;
mod signal;
mod store;
mod task_error;
pub mod testing;

pub use context::Context;
pub use engine::{
    Blocked, BuildError, Engine, EngineBuilder, MAX_WORKERS, NotSubmitted, RunError, Stopper, Warning,
};
pub use handler::Handler;
pub use settle_all::{Settled, settle_all};
pub use store::EngineStore;
pub use task_error::TaskError;

/// How many rows one step changes at most: enough that a commit is cheap per row, and few enough that the write
/// lock is held for milliseconds.
const ROWS_PER_STEP: u32 = 10_000;

/// The README's examples run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
