//! The workers of Origin Conductor: an engine that runs tasks, and the steps that carry them to their end.
//!
//! An [`Engine`] claims ready tasks, calls their handlers, records what became of them, and takes the steps that follow:
//!
//! ```
//! use conductor_model::{RunDraft, State, TaskDraft};
//! use conductor_store::SqliteStore;
//! use conductor_workers::{Context, Engine, TaskError};
//!
//! fn resize(file: String, context: Context) -> Result<usize, TaskError> {
//!     if file.is_empty() {
//!         return Err(TaskError::fatal("no file"));
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
//! Whoever does the work elsewhere takes the steps alone. Each worker repeats one bounded step of a
//! [`Store`](conductor_store::Store) until nothing is left to do, and may be stopped, killed or run twice at any point:
//! [`fanout`] creates the children that are missing, [`aggregate`] decides parents and runs whose children are all settled,
//! [`retry`] makes failed tasks PENDING whose retry is due, [`sweep`] cancels what is open below something that was given up.
//! [`run_steps_until_idle`] repeats them until nothing changes.
//! [`prune`] removes what ended long ago.
//!
//! [`testing`] has engines on a clock that moves when it is told to, for tests of retries, timeouts and crashes.

mod engine;
mod event_signal;
mod handler;
mod outputs;
pub mod steps;
mod store;
mod subscription;
pub mod testing;

use std::time::Duration;

pub use conductor_store::ChildFailure;
pub use engine::{Blocked, BuildError, Engine, EngineBuilder, MAX_WORKERS, RunError, StopHandle, Warning};
pub use handler::{Children, Context, Handler, TaskError};
pub use outputs::OutputError;
pub use store::EngineStore;
pub use subscription::Subscription;

/// How many rows one step changes at most: enough that a commit is cheap per row, and few enough that claims and results
/// wait for milliseconds only.
pub const ROWS_PER_STEP: u32 = 4_000;
/// The same of a step whose rows cost more: a sweep's may all be running and stand in more indexes, a rescue's and an
/// aggregate's are written one by one.
pub const ROWS_PER_HEAVY_STEP: u32 = 2_000;
/// How many children a fan-out creates in one step at most: nothing costs less than a row that is appended.
pub const CHILDREN_PER_STEP: u32 = 10_000;
/// How often an idle engine, or a subscription, looks whether another process wrote something.
pub const POLL_INTERVAL: Duration = Duration::from_millis(50);
