//! Decides how long a failing store is retried.

use super::mailbox::Stop;
use conductor_store::StoreError;
use std::time::Duration;

/// How long a store may fail without a success.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for an engine that stops immediately.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// The retries of a failing store. Create a new value after each success.
#[derive(Debug, Default)]
pub(super) struct StoreRetry {
    failing_since: Option<Duration>,
}

impl StoreRetry {
    /// Returns whether to retry after this error.
    ///
    /// A busy store is retried without a limit: a backup, or a process that is suspended inside a commit, will release it
    /// or die. An engine that stops does not wait that long.
    pub(super) fn should_retry(&mut self, error: &StoreError, now: Duration, stop: Option<Stop>) -> bool {
        let is_busy = matches!(error, StoreError::Busy(_));
        if is_busy && stop.is_none() {
            return true;
        }
        let since = *self.failing_since.get_or_insert(now);
        let timeout = if stop == Some(Stop::Now) { STOP_TIMEOUT } else { RETRY_TIMEOUT };
        (is_busy || is_transient(error)) && now.saturating_sub(since) <= timeout
    }
}

/// Returns whether the same request may succeed later.
fn is_transient(error: &StoreError) -> bool {
    matches!(error, StoreError::CommitOutcomeUnknown(_) | StoreError::Io(_))
}
