//! The contract between Origin Conductor and its stores, and the store on SQLite.
//!
//! A store keeps runs, tasks and events. It executes each request in one bounded transaction. [`conductor_model`] decides
//! what follows from a request; the store writes the result. The contract consists of the traits [`Store`], [`Admin`],
//! [`Query`] and [`Monitor`], and of the suite in the crate `conductor-conformance`, which every store must pass.
//!
//! This crate works as an only dependency: it re-exports the domain types that its signatures name.
//!
//! ```
//! use conductor_store::{Environment, FanOut, Query, RunDraft, Scope, SqliteStore, State, Store, Submit, TaskDraft};
//! use serde_json::json;
//!
//! let store = SqliteStore::open_in_memory()?;
//! let env = Environment::system();
//!
//! let run = RunDraft::new().task(TaskDraft::new("PARENT").input(json!({"fanout": 3}))).validate()?;
//! let run = store.submit(&Submit::new(run, &env))?.run;
//!
//! // One step creates at most 100 children.
//! assert_eq!(store.fan_out(&FanOut::new(Scope::Run(run), 100, &env))?.children, 3);
//! assert_eq!(store.run(run)?.unwrap().state, State::Running);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// Files of `tests/` that unit tests include name this crate.
#[cfg(test)]
extern crate self as conductor_store;

mod admin;
mod arc;
pub mod backend;
mod environment;
mod error;
mod forward;
mod notifier;
mod ops;
mod query;
mod request;
mod scope;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod traits;

pub use admin::{
    Cancel, CancelError, CancelOutcome, Divergence, DivergenceKind, Prune, PruneOutcome, Repair,
    RepairReport, RepairedItem, Revive, ReviveError, ReviveFilter, ReviveOutcome, UnrepairableItem, Verify,
    VerifyReport,
};
/// The domain types: everything that the signatures of this crate name, and more. The most used are at the root, too.
pub use conductor_model as model;
pub use conductor_model::{
    AttemptFailure, Backoff, CancelCause, ChildCounts, EngineId, ErrorText, Eta, Event, EventBody,
    Explanation, FailureReason, HealthReport, IdBlock, IdempotencyKey, IllegalTransition, Jitter, JoinDraft,
    Json, Kind, MaxRetries, NewRun, NewTask, Policy, Progress, RetryMetrics, Run, RunDraft, RunId,
    RunSummary, State, StateCounts, StateReason, StuckItem, Task, TaskDraft, TaskId, TaskName, TaskProgress,
    Timestamp, ValidationError,
};
pub use environment::{Clock, Environment, SystemClock};
pub use error::StoreError;
pub use notifier::WriteNotifier;
pub use query::{
    ChildFailure, ChildOutput, EventFilter, MAX_PAGE, Page, RunBlockers, StuckThreshold, TaskFilter,
};
pub use request::{
    AggregateOutcome, Append, AppendError, AppendOutcome, AttemptResult, Claim, ClaimOutcome, ClaimedGroup,
    ClaimedTask, EngineCapabilities, EngineKey, EngineRegistration, FanOut, FanOutOutcome, Fence,
    FenceOutcome, FenceSet, Inputs, KindQuota, OffsetSet, RecordProgress, RegisterEngine, Release, Renew,
    Report, ReportBatch, ReportOutcome, ReportRejection, ReportedResult, Rescue, RotationCursor, Seal,
    SealError, Settle, SettleOutcome, Step, StepOutcome, Submit, SubmitError, SubmitOutcome, SweepOutcome,
};
pub use scope::{NodeId, Scope};
#[cfg(feature = "sqlite")]
pub use sqlite::{OpenError, SqliteOptions, SqliteStore, Synchronous};
pub use traits::{Admin, Monitor, Query, Store};

/// Runs the example of the README as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
