//! The workers of Origin Conductor: the engine that runs tasks, and the steps that move runs to their final state.
//!
//! An [`Engine`] claims ready tasks, runs their handlers, records the results, and carries out the steps that follow:
//!
//! ```
//! use conductor_workers::model::{RunDraft, State, TaskDraft};
//! use conductor_workers::store::SqliteStore;
//! use conductor_workers::{Context, Engine, TaskError};
//!
//! fn resize(file: String, context: Context) -> Result<usize, TaskError> {
//!     if file.is_empty() {
//!         return Err(TaskError::fatal("the file name is empty"));
//!     }
//!     Ok(file.len() + context.index() as usize)
//! }
//!
//! let store = SqliteStore::open_in_memory()?;
//! let engine = Engine::builder(store).handler("resize", resize).workers(8).build()?;
//! let run = engine.submit(RunDraft::new().task(TaskDraft::new("resize").fan_out(["a.png", "b.png"])))?;
//! assert_eq!(engine.run_until_settled(run)?.state, State::Succeeded);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A program that does the work of tasks without an engine carries out the steps itself: see [`steps`].
//!
//! [`testing`] has engines on a virtual clock, for tests of retries, timeouts and crashes.
//!
//! The crate re-exports [`conductor_model`] as [`model`] and [`conductor_store`] as [`store`](mod@store), so a program needs no
//! other dependency.

mod engine;
mod engine_store;
mod event_signal;
mod handler;
mod limits;
mod outputs;
pub mod steps;
mod subscription;
pub mod testing;

pub use conductor_model as model;
pub use conductor_store as store;
pub use conductor_store::ChildFailure;
pub use engine::{Blocked, BuildError, Engine, EngineBuilder, MAX_WORKERS, RunError, StopHandle, Warning};
pub use engine_store::EngineStore;
pub use handler::{Children, Context, Handler, TaskError};
pub use limits::{CHILDREN_PER_STEP, POLL_INTERVAL, ROWS_PER_HEAVY_STEP, ROWS_PER_STEP, TASKS_PER_SWEEP};
pub use outputs::OutputError;
pub use subscription::Subscription;

/// Runs the example of the README as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
