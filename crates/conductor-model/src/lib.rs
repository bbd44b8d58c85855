//! The domain of Origin Conductor: ids, states, transitions, validation and decisions.
//!
//! A **run** holds **tasks**. A task may **fan out** into N children; when all of them are settled the
//! parent's state follows from theirs, and so does the run's. Failed tasks are retried within a limit.
//! This crate knows those rules and nothing else: no I/O, no clock, no random numbers, no SQL. Everything
//! that comes from outside (the time, ids, chance) is a parameter.
//!
//! ```
//! use conductor_model::{RunDraft, TaskDraft, Numbers, Decision, Standing, State};
//! use serde_json::json;
//!
//! // Drafts hold what somebody wrote; `check` turns them into values that cannot be wrong.
//! let run = RunDraft::new().task(TaskDraft::new("resize").input(json!({"fanout": 3}))).check()?;
//! assert_eq!(run.tasks()[0].numbers().unwrap().total, Some(3));
//!
//! // Every issue is reported at once, with its place.
//! let wrong = RunDraft::new().task(TaskDraft::new("a#b").max_retries(1001)).check().unwrap_err();
//! assert_eq!(wrong.to_string(), "2 issues: tasks[0].name: `#` separates a child's name from its index and \
//!     may not stand in this name; tasks[0].max_retries: must be an integer in 0..=1000");
//!
//! // Decisions are pure functions of numbers.
//! let numbers = Numbers { total: Some(3), children: 3, open: 0, failed: 1, cancelled: 0 };
//! assert_eq!(Standing::of(numbers).decide(), Decision::Settle(State::Failed));
//! # Ok::<(), conductor_model::Invalid>(())
//! ```
//!
//! Where to look: [`transition`] has the state machine, [`Standing`] what follows for a parent,
//! [`after_failure`] what follows for a failed task, [`RunDraft`] and [`TaskDraft`] what may be submitted,
//! [`Event`] what is remembered, [`Replay`] how everything is recomputed from it.

mod claim;
mod draft;
mod eta;
mod event;
mod explain;
mod fanout;
mod fields;
mod health;
mod id;
mod issue;
mod join;
mod json;
mod name;
mod numbers;
mod payload;
mod policy;
mod policy_table;
mod progress;
mod record;
mod replay;
mod retry;
mod run_draft;
mod time;
mod told;
mod transition;

pub use claim::{DEFAULT_LEASE_MS, Lost, MAX_LEASE_MS, after_loss, fence_holds, lease_is_over, lost_after};
pub use draft::{NewTask, TaskDraft};
pub use eta::{Eta, Recent};
pub use event::{CreatedFanout, Event, EventBody, FailureReason, event_of};
pub use explain::{Explanation, Reason, Subjected};
pub use fanout::{Fanout, FanoutItem, MAX_FANOUT};
pub use health::{Health, HealthCounts, HealthReport, RetryMetrics, RunSummary, Stuck};
pub use id::{EngineId, IdBlock, RunId, TaskId};
pub use issue::{Invalid, Issue, IssueCode};
pub use join::{JoinDraft, NewJoin};
pub use json::{Json, MAX_JSON_BYTES, MAX_JSON_DEPTH};
pub use name::{IdempotencyKey, Kind, MAX_NAME_BYTES, TaskName};
pub use numbers::{Numbers, Tally};
pub use payload::{PAYLOAD_HASH_VERSION, PayloadHash};
pub use policy::{Decision, Joining, Mark, Percent, Policy, Standing};
pub use policy_table::{POLICY_COLUMNS, POLICY_ROWS, PolicyRow, PolicyTopic, policy_table};
pub use progress::{MAX_PROGRESS_MESSAGE_BYTES, Progress, ProgressMessage, TaskProgress};
pub use record::{ErrorText, Join, MAX_ERROR_BYTES, Run, Task};
pub use replay::{Replay, ReplayError, ReplayedRun, ReplayedTask};
pub use retry::{
    AfterFailure, AttemptFailure, Backoff, DEFAULT_MAX_RETRIES, Failure, Jitter, MAX_BACKOFF_MS, MAX_RETRIES,
    MAX_TIMEOUT_MS, MaxRetries, after_failure, retry_is_due,
};
pub use run_draft::{MAX_TASKS, NewRun, RunDraft};
pub use time::{Timestamp, TimestampOutOfRange};
pub use told::{About, ToldRun, ToldTask};
pub use transition::{
    IllegalTransition, RunState, Shape, Signal, State, Subject, TRANSITIONS, TaskState, Transition, diagram,
    transition, transition_table,
};

/// The examples of `docs/policies.md` run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/policies.md")]
struct Policies;
