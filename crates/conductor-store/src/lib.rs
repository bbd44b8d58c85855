//! The stores of Origin Conductor.
//!
//! A store keeps runs, tasks and events, and carries out one intent in one bounded transaction. What follows
//! from what is decided in [`conductor_model`]; a store asks it and writes the answer. The contract is the
//! traits [`Store`], [`Admin`], [`Query`] and [`Monitor`] together with the suite in `conformance` (a feature), which
//! every store passes.
//!
//! ```
//! use conductor_model::{RunDraft, State, TaskDraft};
//! use conductor_store::{FanOut, Query, Scope, Environment, SqliteStore, Store, Submit};
//! use serde_json::json;
//!
//! let store = SqliteStore::open_in_memory()?;
//! let env = Environment::system();
//!
//! let run = RunDraft::new().task(TaskDraft::new("PARENT").input(json!({"fanout": 3}))).validate()?;
//! let run = store.submit(&Submit::new(run, &env))?.run;
//!
//! // One step creates at most as many children as it is given ids.
//! assert_eq!(store.fan_out(&FanOut::new(Scope::Run(run), 100, &env))?.children, 3);
//! assert_eq!(store.run(run)?.unwrap().state, State::Running);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod append;
mod arc;
mod cancel;
mod claim;
mod engine;
mod environment;
mod error;
mod forward;
mod lease;
mod notifier;
mod progress;
mod prune;
mod query;
mod repair;
mod report;
mod revive;
mod scope;
mod seal;
mod settle;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod step;
mod store;
mod submit;
mod verify;

/// The domain types of every signature here. Their most used names are also at the root of this crate.
pub use conductor_model as model;
pub use conductor_model::{
    AttemptFailure, Backoff, CancelCause, ChildCounts, EngineId, ErrorText, Eta, Event, EventBody,
    Explanation, FailureReason, HealthReport, IdBlock, IdempotencyKey, JoinDraft, Json, Kind, MaxRetries,
    NewRun, NewTask, Policy, Progress, RetryMetrics, Run, RunDraft, RunId, RunSummary, State, StateCounts,
    StateReason, StuckItem, Task, TaskDraft, TaskId, TaskName, TaskProgress, Timestamp, ValidationError,
};

pub use append::{Append, AppendError, AppendOutcome};
pub use cancel::{Cancel, CancelError, CancelOutcome};
pub use claim::{Claim, ClaimOutcome, ClaimedTask, Fence, FenceOutcome, KindQuota, RotationCursor};
pub use engine::{EngineCapabilities, EngineKey, EngineRegistration, RegisterEngine};
pub use environment::{Clock, Environment, SystemClock};
pub use error::StoreError;
pub use lease::{Release, Renew, Rescue};
pub use notifier::WriteNotifier;
pub use progress::RecordProgress;
pub use prune::{Prune, PruneOutcome};
pub use query::{
    ChildFailure, ChildOutput, EventFilter, MAX_PAGE, Page, RunBlockers, StuckThreshold, TaskFilter,
};
pub use repair::{Repair, RepairReport, RepairedItem, UnrepairableItem};
pub use report::{Report, ReportBatch, ReportOutcome, ReportRejection, ReportedResult};
pub use revive::{Revive, ReviveError, ReviveFilter, ReviveOutcome};
pub use scope::{NodeId, Scope};
pub use seal::{Seal, SealError};
pub use settle::{AttemptResult, Settle, SettleOutcome};
#[cfg(feature = "sqlite")]
pub use sqlite::{OpenError, SqliteOptions, SqliteStore, Synchronous};
pub use step::{AggregateOutcome, FanOut, FanOutOutcome, Step, StepOutcome, SweepOutcome};
pub use store::{Admin, Monitor, Query, Store};
pub use submit::{Submit, SubmitError, SubmitOutcome};
pub use verify::{Divergence, DivergenceKind, Verify, VerifyReport};
