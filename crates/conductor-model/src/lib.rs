//! The domain rules of Origin Conductor: ids, states, transitions, validation and decisions.
//!
//! A **run** holds **tasks**. A task may **fan out** into N children. When all children are settled, the state of
//! their parent follows from theirs, and the state of the run follows from its root tasks. Failed tasks are retried
//! within a limit. This crate contains these rules only: it does no I/O, reads no clock, draws no random numbers and
//! knows no SQL. The time, ids and random fractions are parameters.
//!
//! ```
//! use conductor_model::{RunDraft, TaskDraft, ChildCounts, Decision, ParentStatus, State};
//! use serde_json::json;
//!
//! // A draft holds unchecked values; `validate` turns it into a value that is always valid.
//! let run = RunDraft::new().task(TaskDraft::new("resize").input(json!({"fanout": 3}))).validate()?;
//! assert_eq!(run.tasks()[0].child_counts().unwrap().total, Some(3));
//!
//! // All issues are reported together, each with its path.
//! let invalid = RunDraft::new().task(TaskDraft::new("a#b").max_retries(1001)).validate().unwrap_err();
//! assert_eq!(invalid.to_string(), "2 issues: tasks[0].name: must not contain `#`, which separates a \
//!     child's name from its index, but is \"a#b\"; tasks[0].max_retries: must be an integer in 0..=1000, but is 1001");
//!
//! // Decisions are pure functions of counts.
//! let counts = ChildCounts { total: Some(3), created: 3, open: 0, failed: 1, cancelled: 0 };
//! assert_eq!(ParentStatus::of(counts).decide(), Decision::Settle(State::Failed));
//! # Ok::<(), conductor_model::ValidationError>(())
//! ```
//!
//! Where to look:
//!
//! | question | item |
//! |---|---|
//! | What may be submitted? | [`RunDraft`], [`TaskDraft`], [`JoinDraft`] |
//! | Which transitions are legal? | [`transition()`], [`TRANSITIONS`] |
//! | What follows for a parent or a run? | [`ParentStatus::decide`] |
//! | Is a failed task retried, and when? | [`decide_retry`] |
//! | Is a lease or a fence still valid? | [`lease_expired`], [`fence_is_valid`] |
//! | What is recorded in the event log? | [`Event`] |
//! | How is the state computed from events? | [`Replay`] |
//!
//! Arrows between the modules go one way: the top level, then `state`, then `draft`, `event` and `record`, then `replay`.

mod draft;
mod event;
mod id;
mod issue;
mod json;
mod name;
mod record;
mod replay;
mod state;
mod text;
mod time;

pub use draft::{
    Fanout, FanoutItem, JoinDraft, MAX_TASKS, NewJoin, NewRun, NewTask, PAYLOAD_HASH_VERSION, PayloadHash,
    RunDraft, TaskDraft,
};
pub use event::{EVENT_NAMES, Event, EventBody, FanoutSize, event_code, transition_event};
pub use id::{EngineId, IdBlock, RunId, TaskId};
pub use issue::{Issue, IssueCode, ValidationError};
pub use json::{Json, MAX_JSON_BYTES, MAX_JSON_DEPTH};
pub use name::{IdempotencyKey, Kind, MAX_NAME_BYTES, TaskName};
pub use record::{
    Eta, ExplainTarget, Explanation, Health, HealthCounts, HealthReport, Join, Progress, RecentEvent,
    RetryMetrics, Run, RunSummary, StateReason, StuckItem, Task, TaskProgress,
};
pub use replay::{EventTarget, Replay, ReplayError, ReplayedRun, ReplayedTask, RunReplay, RunReplayTask};
pub use state::{
    AppendRejection, AttemptFailure, Backoff, CancelCause, CancelVerdict, ChildCounts, CountDelta,
    DEFAULT_LEASE_MS, DEFAULT_MAX_RETRIES, Decision, FailedAttempt, FailureReason, IllegalTransition, Jitter,
    JoinStatus, LeaseLosses, MAX_BACKOFF_MS, MAX_FANOUT, MAX_LEASE_MS, MAX_RETRIES, MAX_TIMEOUT_MS,
    MaxRetries, NextStep, NodeStatus, NodeType, ParentStatus, Percent, Policy, ReopenRejection,
    ReportVerdict, ReportedLeaf, RetryDecision, RunState, SealRejection, Signal, State, StateCounts,
    TRANSITIONS, TaskState, Transition, can_reopen, can_seal, cancel_in_progress, decide_retry,
    existing_children, fence_is_valid, judge_cancel, judge_report, lease_expired, lease_losses_after,
    next_lease_losses, next_step, reopens_by_itself, retry_is_due, state_diagram, transition,
    transition_table,
};
#[doc(hidden)]
pub use state::{POLICY_COLUMNS, POLICY_ROWS, PolicyRow, PolicyTopic, policy_table};
pub use text::{ErrorText, MAX_ERROR_BYTES, MAX_PROGRESS_MESSAGE_BYTES, ProgressMessage};
pub use time::{Timestamp, TimestampOutOfRange};

// Signatures of this crate name types and traits of these two.
pub use serde;
pub use serde_json;

/// Runs the example of the README as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
