//! The domain of Origin Conductor: ids, states, transitions, validation and decisions.
//!
//! A **run** holds **tasks**. A task may **fan out** into N children; when all of them are settled the
//! parent's state follows from theirs, and so does the run's. Failed tasks are retried within a limit.
//! This crate knows those rules and nothing else: no I/O, no clock, no random numbers, no SQL. Everything
//! that comes from outside (the time, ids, chance) is a parameter.
//!
//! ```
//! use conductor_model::{RunDraft, TaskDraft, ChildCounts, Decision, ParentStatus, State};
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
//! let numbers = ChildCounts { total: Some(3), children: 3, open: 0, failed: 1, cancelled: 0 };
//! assert_eq!(ParentStatus::of(numbers).decide(), Decision::Settle(State::Failed));
//! # Ok::<(), conductor_model::ValidationError>(())
//! ```
//!
//! Where to look: [`transition`] has the state machine, [`ParentStatus`] what follows for a parent,
//! [`decide_retry`] what follows for a failed task, [`RunDraft`] and [`TaskDraft`] what may be submitted,
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

pub use claim::{
    DEFAULT_LEASE_MS, LeaseLosses, MAX_LEASE_MS, fence_is_valid, lease_expired, lease_losses_after,
    next_lease_losses,
};
pub use draft::{NewTask, TaskDraft};
pub use eta::{Eta, RecentEvent};
pub use event::{Event, EventBody, FailureReason, FanoutSize, transition_event};
pub use explain::{ExplainTarget, Explanation, StateReason};
pub use fanout::{Fanout, FanoutItem, MAX_FANOUT};
pub use health::{Health, HealthCounts, HealthReport, RetryMetrics, RunSummary, StuckItem};
pub use id::{EngineId, IdBlock, RunId, TaskId};
pub use issue::{Issue, IssueCode, ValidationError};
pub use join::{JoinDraft, NewJoin};
pub use json::{Json, MAX_JSON_BYTES, MAX_JSON_DEPTH};
pub use name::{IdempotencyKey, Kind, MAX_NAME_BYTES, TaskName};
pub use numbers::{ChildCounts, StateCounts};
pub use payload::{PAYLOAD_HASH_VERSION, PayloadHash};
pub use policy::{CancelCause, Decision, JoinStatus, ParentStatus, Percent, Policy};
pub use policy_table::{POLICY_COLUMNS, POLICY_ROWS, PolicyRow, PolicyTopic, policy_table};
pub use progress::{MAX_PROGRESS_MESSAGE_BYTES, Progress, ProgressMessage, TaskProgress};
pub use record::{ErrorText, Join, MAX_ERROR_BYTES, Run, Task};
pub use replay::{Replay, ReplayError, ReplayedRun, ReplayedTask};
pub use retry::{
    AttemptFailure, Backoff, DEFAULT_MAX_RETRIES, FailedAttempt, Jitter, MAX_BACKOFF_MS, MAX_RETRIES,
    MAX_TIMEOUT_MS, MaxRetries, RetryDecision, decide_retry, retry_is_due,
};
pub use run_draft::{MAX_TASKS, NewRun, RunDraft};
pub use time::{Timestamp, TimestampOutOfRange};
pub use told::{EventTarget, RunReplay, RunReplayTask};
pub use transition::{
    IllegalTransition, NodeStatus, NodeType, RunState, Signal, State, TRANSITIONS, TaskState, Transition,
    state_diagram, transition, transition_table,
};
