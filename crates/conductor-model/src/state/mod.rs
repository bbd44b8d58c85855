//! The decisions: pure functions of states, counts and policies.

mod backoff;
mod counts;
mod decision;
mod failure;
mod lease;
mod node;
mod policy;
mod policy_table;
mod retry;
mod transition;

pub(crate) use backoff::BackoffDraft;
pub use backoff::{Backoff, Jitter, MAX_BACKOFF_MS};
pub use counts::{ChildCounts, StateCounts};
pub use decision::{CancelCause, Decision, JoinStatus, ParentStatus};
pub use failure::{AttemptFailure, FailedAttempt, FailureReason, RetryDecision, decide_retry, retry_is_due};
pub use lease::{
    DEFAULT_LEASE_MS, LeaseLosses, MAX_LEASE_MS, fence_is_valid, lease_expired, lease_losses_after,
    next_lease_losses,
};
pub use node::{NodeStatus, NodeType, RunState, Signal, State, TaskState};
pub use policy::{Percent, Policy};
pub use policy_table::{POLICY_COLUMNS, POLICY_ROWS, PolicyRow, PolicyTopic, policy_table};
pub use retry::{DEFAULT_MAX_RETRIES, MAX_RETRIES, MAX_TIMEOUT_MS, MaxRetries};
pub use transition::{
    IllegalTransition, TRANSITIONS, Transition, state_diagram, transition, transition_table,
};
