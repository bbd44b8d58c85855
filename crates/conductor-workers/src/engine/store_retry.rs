//! How long a store that fails is asked again.

use super::mailbox::Stop;
use conductor_store::StoreError;
use std::time::Duration;

/// For how long nothing may go well.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same when it is to stop at once.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// StoreRetry with a store, made anew after each success.
#[derive(Debug, Default)]
pub(crate) struct StoreRetry {
    failing_since: Option<Duration>,
}

impl StoreRetry {
    /// Whether to ask again after this fault. A store that is busy is waited for without end: whoever holds it, a backup or a
    /// process that was stopped inside a commit, will let it go or die. Whoever stops the engine has no time for that.
    pub(crate) fn is_left(&mut self, fault: &StoreError, now: Duration, stop: Option<Stop>) -> bool {
        let is_busy = matches!(fault, StoreError::Busy(_));
        if is_busy && stop.is_none() {
            return true;
        }
        let since = *self.failing_since.get_or_insert(now);
        let patience = if stop == Some(Stop::AtOnce) { STOP_TIMEOUT } else { PATIENCE };
        (is_busy || may_pass(fault)) && now.saturating_sub(since) <= patience
    }
}

/// Whether the store may do tomorrow what it could not do today.
fn may_pass(fault: &StoreError) -> bool {
    matches!(fault, StoreError::CommitOutcomeUnknown(_) | StoreError::Io(_))
}
