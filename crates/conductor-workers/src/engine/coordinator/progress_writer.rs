//! Writes the progress that handlers report: the last report of each attempt, rarely, and after the other work.

use crate::engine::scheduler::Scheduler;
use crate::engine::trace;
use crate::handler::context::ContextShared;
use conductor_store::{Environment, RecordProgress};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The shortest time between two writes.
const WRITE_EVERY: Duration = Duration::from_millis(500);

pub(super) struct ProgressWriter {
    context: Arc<ContextShared>,
    not_before: Duration,
}

impl ProgressWriter {
    pub(super) fn new(context: Arc<ContextShared>) -> Self {
        Self { context, not_before: Duration::ZERO }
    }

    /// Returns when it writes next; `None` if no progress was reported.
    pub(super) fn next_write(&self) -> Option<Duration> {
        self.context.has_progress.load(Ordering::Acquire).then_some(self.not_before)
    }

    /// Writes the progress of the claimed attempts that was reported since the last write.
    pub(super) fn write(&mut self, scheduler: &Scheduler, env: &Environment, now: Duration) {
        if now < self.not_before || !self.context.has_progress.swap(false, Ordering::AcqRel) {
            return;
        }
        let reported = scheduler.attempts().filter_map(|attempt| {
            let item = (attempt.fence(), attempt.take_progress()?);
            Some((attempt, item))
        });
        let (attempts, items): (Vec<_>, Vec<_>) = reported.unzip();
        // Also without items: an abandoned handler may continue to report.
        self.not_before = now + WRITE_EVERY;
        if items.is_empty() {
            return;
        }
        let request = RecordProgress { items, now: env.now() };
        // No work depends on it: after an error it is written later, or never.
        if let Err(error) = self.context.store.record_progress(&request) {
            trace::progress_not_written(&error);
            for (attempt, (_, progress)) in attempts.into_iter().zip(request.items) {
                attempt.restore_progress(progress);
            }
            self.context.has_progress.store(true, Ordering::Release);
        }
    }
}
