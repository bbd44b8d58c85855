//! When the rarer steps are due.

use conductor_store::RotationCursor;
use std::time::Duration;

/// When the steps that are not part of every turn are due, and where the fan-out continues.
#[derive(Debug, Default)]
pub(crate) struct StepTimers {
    pub(crate) rescue_at: Duration,
    pub(crate) prune_at: Duration,
    pub(crate) fan_out_cursor: RotationCursor,
}

impl StepTimers {
    /// Returns when the next of these steps is due.
    pub(crate) fn next_at(&self, prunes: bool) -> Duration {
        if prunes { self.rescue_at.min(self.prune_at) } else { self.rescue_at }
    }
}
