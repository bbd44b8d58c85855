//! The error that a handler returns.

use conductor_model::{AttemptFailure, MAX_BACKOFF_MS};
use std::fmt;
use std::time::Duration;

/// The error of a failed attempt, and whether another attempt may help.
///
/// Every error type converts into one that is retried, so `?` works in a handler:
///
/// ```
/// use conductor_workers::{Context, TaskError};
///
/// fn parse(text: String, _: Context) -> Result<u32, TaskError> {
///     let number: u32 = text.trim().parse()?;
///     if number == 0 {
///         return Err(TaskError::fatal("the number is 0"));
///     }
///     Ok(number)
/// }
/// # let _ = parse;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TaskError(AttemptFailure);

impl TaskError {
    /// Creates an error that is retried after the task's backoff, while retries are left.
    pub fn retry(error: impl fmt::Display) -> Self {
        Self(AttemptFailure::error(error.to_string()))
    }

    /// Creates an error that is retried after `wait` instead of the task's backoff, while retries are left. `wait` is cut
    /// to seven days.
    pub fn retry_after(wait: Duration, error: impl fmt::Display) -> Self {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).min(MAX_BACKOFF_MS);
        let error = error.to_string().into();
        Self(AttemptFailure::Error { error, retryable: true, retry_after_ms: Some(wait_ms) })
    }

    /// Creates an error that is not retried: the task is FAILED permanently.
    pub fn fatal(error: impl fmt::Display) -> Self {
        Self(AttemptFailure::fatal(error.to_string()))
    }

    pub(crate) fn into_failure(self) -> AttemptFailure {
        self.0
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.text().fmt(f)
    }
}

impl<E: std::error::Error> From<E> for TaskError {
    /// Converts an error with all its sources, in one line.
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::retry(text)
    }
}
