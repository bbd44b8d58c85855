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
//! Features:
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `sqlite` | yes | [`SqliteStore`] and the module [`sqlite`] |
//! | `tokio` | no | asynchronous handlers |
//! | `testing` | no | the module `testing`: engines on a clock that a test moves |
//!
//! The crates below this one can be used alone: [`conductor_model`] has the rules without any I/O, [`conductor_store`]
//! the stores without an engine.

pub use conductor_model::{
    Backoff, ChildCounts, EngineId, ErrorText, Eta, Event, EventBody, ExplainTarget, Explanation,
    FailureReason, Health, HealthReport, IdempotencyKey, Issue, IssueCode, JoinDraft, Json, Kind, MaxRetries,
    Percent, Policy, Progress, Run, RunDraft, RunId, RunSummary, State, StateCounts, StateReason, StuckItem,
    Task, TaskDraft, TaskId, TaskName, TaskProgress, Timestamp, ValidationError,
};
pub use conductor_store::{
    AppendError, AppendOutcome, CancelError, CancelOutcome, ChildFailure, Environment, NodeId, Report,
    ReportOutcome, ReportRejection, ReviveError, ReviveFilter, ReviveOutcome, Scope, SealError, StoreError,
    SubmitError,
};
#[cfg(feature = "sqlite")]
pub use conductor_store::{OpenError, SqliteOptions, SqliteStore, Synchronous};
pub use conductor_workers::{
    Blocked, BuildError, Children, Context, Engine, EngineBuilder, Handler, OutputError, RunError,
    StopHandle, Subscription, TaskError, Warning,
};

/// What only the SQLite store has: tables inside the database of the caller, and submissions in a transaction of the
/// caller.
#[cfg(feature = "sqlite")]
pub mod sqlite {
    pub use conductor_store::sqlite::{install_into, rusqlite, submit_in};
}

/// The store traits with all their requests, for tools, servers and other stores.
pub mod store {
    pub use conductor_store::*;
}

/// The steps that move work forward, for programs without an engine.
pub mod steps {
    pub use conductor_workers::steps::*;
}

/// Engines on a clock that a test moves, for tests of retries, timeouts and crashes.
#[cfg(feature = "testing")]
pub mod testing {
    pub use conductor_workers::testing::*;
}

/// The names that most programs use.
pub mod prelude {
    #[cfg(feature = "sqlite")]
    pub use crate::SqliteStore;
    pub use crate::{Backoff, Children, Context, Engine, Policy, RunDraft, State, TaskDraft, TaskError};
}
