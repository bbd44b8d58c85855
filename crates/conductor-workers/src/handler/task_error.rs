//! How a handler says that an attempt failed.

use conductor_model::{AttemptFailure, MAX_BACKOFF_MS};
use std::fmt;
use std::time::Duration;

/// Why an attempt failed, and whether another one could help.
///
/// Any error turns into one that is retried, so that `?` works in a handler:
///
/// ```
/// use conductor_workers::{Context, TaskError};
///
/// fn parse(text: String, _: Context) -> Result<u32, TaskError> {
///     let number: u32 = text.trim().parse()?;
///     if number == 0 {
///         return Err(TaskError::fatal("there is nothing to do"));
///     }
///     Ok(number)
/// }
/// # let _ = parse;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TaskError(AttemptFailure);

impl TaskError {
    /// Another attempt could help: it is made after the task's backoff, while retries are left.
    pub fn retry(why: impl fmt::Display) -> Self {
        Self(AttemptFailure::error(why.to_string()))
    }

    /// Another attempt could help, but not before so long; at most seven days.
    pub fn retry_after(wait: Duration, why: impl fmt::Display) -> Self {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).min(MAX_BACKOFF_MS);
        let error = why.to_string().into();
        Self(AttemptFailure::Error { error, retryable: true, retry_after_ms: Some(wait_ms) })
    }

    /// No other attempt could help: the task is FAILED for good.
    pub fn fatal(why: impl fmt::Display) -> Self {
        Self(AttemptFailure::fatal(why.to_string()))
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
    /// The error and its sources, in one line.
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
