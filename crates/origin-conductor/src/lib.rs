//! Origin Conductor is a task orchestrator for Rust. It fans one task out into thousands or millions, retries failures, joins
//! the results, and survives crashes. All state is in one SQLite file.
//!
//! This crate is everything that a program needs to embed an engine:
//!
//! ```
//! use origin_conductor::prelude::*;
//!
//! fn resize(file: String, _: Context) -> Result<usize, TaskError> {
//!     if file.is_empty() {
//!         return Err(TaskError::fatal("the file name is empty"));
//!     }
//!     Ok(file.len())
//! }
//!
//! let engine = Engine::builder(SqliteStore::open_in_memory()?).handler("resize", resize).workers(8).build()?;
//! let run = engine.submit(RunDraft::new().task(TaskDraft::new("resize").fan_out(["a.png", "b.png"])))?;
//! assert_eq!(engine.run_until_settled(run)?.state, State::Succeeded);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `sqlite` | yes | [`SqliteStore`] and the module [`sqlite`] |
//! | `tokio` | no | asynchronous handlers |
//! | `testing` | no | the module `testing`: engines on a virtual clock |
//!
//! # Where to look
//!
//! - [`Engine`] and [`EngineBuilder`]: submit runs, wait for them, cancel, revive, explain.
//! - [`RunDraft`] and [`TaskDraft`]: describe a run and its tasks.
//! - [`Handler`], [`Context`], [`TaskError`] and [`Children`]: write handlers.
//! - [`Subscription`]: follow events.
//! - [`store`]: the traits and requests for tools, servers and other stores.
//! - [`model`]: the rules without any I/O.
//!
//! The guide and the reference are in the folder `docs` of the repository. Every example there is a test of this crate.
//!
//! Examples of re-exported items name the crate that defines them: `conductor_model`, `conductor_store` or
//! `conductor_workers`. `origin_conductor` has the same names at its root, or in [`model`], [`store`], [`steps`], [`sqlite`]
//! and `testing`.

pub use conductor_model::{
    Backoff, CancelCause, ChildCounts, EngineId, ErrorText, Eta, Event, EventBody, ExplainTarget,
    Explanation, FailureReason, FanoutSize, Health, HealthCounts, HealthReport, IdempotencyKey,
    IllegalTransition, Issue, IssueCode, Join, JoinDraft, Json, Kind, MaxRetries, NewRun, NewTask, Percent,
    Policy, Progress, ProgressMessage, Run, RunDraft, RunId, RunState, RunSummary, State, StateCounts,
    StateReason, StuckItem, Task, TaskDraft, TaskId, TaskName, TaskProgress, Timestamp, TimestampOutOfRange,
    ValidationError,
};
pub use conductor_store::{
    AppendError, AppendOutcome, CancelError, CancelOutcome, ChildFailure, Clock, Environment, NodeId, Report,
    ReportOutcome, ReportRejection, ReportedResult, ReviveError, ReviveFilter, ReviveOutcome, Scope,
    SealError, StoreError, SubmitError,
};
#[cfg(feature = "sqlite")]
pub use conductor_store::{OpenError, SqliteOptions, SqliteStore, Synchronous};
pub use conductor_workers::{
    Blocked, BuildError, Children, Context, Engine, EngineBuilder, EngineStore, Handler, MAX_WORKERS,
    OutputError, RunError, StopHandle, Subscription, TaskError, Warning,
};

/// The functions of the SQLite store alone: tables in the caller's own database, and submissions in the caller's
/// transaction.
///
/// It re-exports the `rusqlite` that these functions take their connections and transactions from.
#[cfg(feature = "sqlite")]
pub mod sqlite {
    pub use conductor_store::sqlite::{install_into, rusqlite, submit_in};
}

/// The rules without any I/O: drafts and their validation, the state machine, decisions, events and their replay.
pub mod model {
    pub use conductor_model::*;
}

/// The store traits with all their requests, for tools, servers and other stores.
pub mod store {
    pub use conductor_store::*;
}

/// The steps that move work forward, for programs without an engine.
pub mod steps {
    pub use conductor_workers::steps::*;
}

/// Engines on a virtual clock, for tests of retries, timeouts and crashes.
#[cfg(feature = "testing")]
pub mod testing {
    pub use conductor_workers::testing::*;
}

/// The names that most programs use.
pub mod prelude {
    #[cfg(feature = "sqlite")]
    pub use crate::SqliteStore;
    pub use crate::{
        Backoff, Children, Context, Engine, JoinDraft, Policy, ReviveFilter, RunDraft, Scope, State,
        TaskDraft, TaskError,
    };
}

#[cfg(doctest)]
mod pages;
