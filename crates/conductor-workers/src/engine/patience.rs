//! How long a store that fails is asked again.

use conductor_store::Fault;
use std::time::Duration;

/// For how long nothing may go well.
const PATIENCE: Duration = Duration::from_secs(10);

/// Patience with a store, made anew after each success.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    failing_since: Option<Duration>,
}

impl Patience {
    /// Whether to ask again after this fault.
    pub(crate) fn is_left(&mut self, fault: &Fault, now: Duration) -> bool {
        let since = *self.failing_since.get_or_insert(now);
        may_pass(fault) && now.saturating_sub(since) <= PATIENCE
    }
}

/// Whether the store may do tomorrow what it could not do today.
fn may_pass(fault: &Fault) -> bool {
    matches!(fault, Fault::Busy(_) | Fault::CommitUnknown(_) | Fault::Io(_))
}
