//! The decisions: pure functions of states, counts and policies.

mod append;
mod backoff;
mod counts;
mod decision;
mod failure;
mod lease;
mod next_step;
mod node;
mod policy;
mod policy_table;
mod report;
mod retry;
mod revive;
mod transition;

pub use append::{AppendRejection, SealRejection, can_seal, existing_children};
pub(crate) use backoff::BackoffDraft;
pub use backoff::{Backoff, Jitter, MAX_BACKOFF_MS};
pub use counts::{ChildCounts, CountDelta, MAX_FANOUT, StateCounts};
pub use decision::{CancelCause, Decision, JoinStatus, ParentStatus};
pub use failure::{AttemptFailure, FailedAttempt, FailureReason, RetryDecision, decide_retry, retry_is_due};
pub use lease::{
    DEFAULT_LEASE_MS, LeaseLosses, MAX_LEASE_MS, fence_is_valid, lease_expired, lease_losses_after,
    next_lease_losses,
};
pub use next_step::{NextStep, next_step};
pub use node::{NodeStatus, NodeType, RunState, Signal, State, TaskState};
pub use policy::{Percent, Policy};
pub use policy_table::{POLICY_COLUMNS, POLICY_ROWS, PolicyRow, PolicyTopic, policy_table};
pub use report::{ReportVerdict, ReportedLeaf, judge_report};
pub use retry::{DEFAULT_MAX_RETRIES, MAX_RETRIES, MAX_TIMEOUT_MS, MaxRetries};
pub use revive::{
    CancelVerdict, ReopenRejection, can_reopen, cancel_in_progress, judge_cancel, reopens_by_itself,
};
pub use transition::{
    IllegalTransition, TRANSITIONS, Transition, state_diagram, transition, transition_table,
};
