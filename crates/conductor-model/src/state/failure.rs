//! What follows from a failed attempt: a retry, or a permanent failure.

use super::backoff::{Backoff, MAX_BACKOFF_MS};
use super::retry::MaxRetries;
use crate::text::ErrorText;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The reason of a failed attempt, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// The handler or another program reported an error, and the task is retried.
    Error,
    /// The handler or another program reported an error, and no retry is left.
    RetriesExhausted,
    /// The handler or another program reported an error that a retry cannot fix.
    NotRetryable,
    /// The attempt exceeded its time limit.
    TimedOut,
    /// The lease of the claim expired, or its engine stopped.
    LeaseExpired,
}

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq)]
pub enum AttemptFailure {
    /// The handler or another program reported an error.
    Error {
        /// The error text.
        error: ErrorText,
        /// Whether a retry may succeed.
        retryable: bool,
        /// The requested delay before the retry, in milliseconds; `None` to use the backoff of the task.
        retry_after_ms: Option<u64>,
    },
    /// The attempt exceeded its time limit.
    TimedOut,
    /// The lease of the claim expired, or its engine stopped.
    LeaseExpired,
}

impl AttemptFailure {
    /// Creates an error that may be retried.
    pub fn error(error: impl Into<ErrorText>) -> Self {
        Self::Error { error: error.into(), retryable: true, retry_after_ms: None }
    }

    /// Creates an error that is not retried.
    pub fn fatal(error: impl Into<ErrorText>) -> Self {
        Self::Error { error: error.into(), retryable: false, retry_after_ms: None }
    }

    /// Returns the error text: that of the error, `timed out` or `lease expired`.
    pub fn text(&self) -> ErrorText {
        match self {
            Self::Error { error, .. } => error.clone(),
            Self::TimedOut => "timed out".into(),
            Self::LeaseExpired => "lease expired".into(),
        }
    }

    /// Returns the reason for programs, which includes the decision on a retry.
    pub fn reason(&self, decision: RetryDecision) -> FailureReason {
        match (self, decision) {
            (Self::TimedOut, _) => FailureReason::TimedOut,
            (Self::LeaseExpired, _) => FailureReason::LeaseExpired,
            (Self::Error { .. }, RetryDecision::Retry(_)) => FailureReason::Error,
            (Self::Error { .. }, RetryDecision::Exhausted) => FailureReason::RetriesExhausted,
            (Self::Error { .. }, RetryDecision::NotRetryable) => FailureReason::NotRetryable,
        }
    }

    fn is_retryable(&self) -> bool {
        !matches!(self, Self::Error { retryable: false, .. })
    }

    fn retry_after_ms(&self) -> Option<u64> {
        if let Self::Error { retry_after_ms, .. } = self { *retry_after_ms } else { None }
    }
}

/// A failed attempt, and the properties of its task on which a retry depends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailedAttempt<'a> {
    /// How many times the task has been retried.
    pub retry_count: u32,
    /// How many times the task may be retried.
    pub max_retries: MaxRetries,
    /// The delay before a retry.
    pub backoff: Backoff,
    /// How the attempt failed.
    pub failure: &'a AttemptFailure,
}

/// Whether and when a failed attempt is retried.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    /// The task is retried at this time or later.
    Retry(Timestamp),
    /// The failure is permanent: no retry is left.
    Exhausted,
    /// The failure is permanent: a retry cannot fix the error.
    NotRetryable,
}

impl RetryDecision {
    /// Returns the time of the retry; `None` if the failure is permanent.
    pub fn due_at(self) -> Option<Timestamp> {
        match self {
            Self::Retry(at) => Some(at),
            Self::Exhausted | Self::NotRetryable => None,
        }
    }
}

/// Decides whether a failed attempt is retried, and when.
///
/// `fraction`, from 0.0 to 1.0, is the random part of the jitter. The retry is due at most [`MAX_BACKOFF_MS`] after
/// `now`.
pub fn decide_retry(attempt: FailedAttempt<'_>, now: Timestamp, fraction: f64) -> RetryDecision {
    let FailedAttempt { retry_count, max_retries, backoff, failure } = attempt;
    if !failure.is_retryable() {
        return RetryDecision::NotRetryable;
    }
    if retry_count >= max_retries.get() {
        return RetryDecision::Exhausted;
    }
    let delay_ms = failure.retry_after_ms().unwrap_or_else(|| backoff.delay_ms(retry_count, fraction));
    RetryDecision::Retry(now.plus_millis(delay_ms.min(MAX_BACKOFF_MS)))
}

/// Returns whether a FAILED task with this `due_at` is to be retried at `now`.
///
/// A time further ahead than [`MAX_BACKOFF_MS`] was written under a clock that jumped, and counts as due.
pub fn retry_is_due(due_at: Timestamp, now: Timestamp) -> bool {
    due_at <= now || due_at > now.plus_millis(MAX_BACKOFF_MS)
}
