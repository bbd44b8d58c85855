//! Writes what handlers report of their progress: the newest word of each, seldom, and never at the expense of the work.

use crate::engine::scheduler::Scheduler;
use crate::engine::trace;
use crate::handler::context::Shared;
use conductor_store::{Environment, RecordProgress};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often, at most.
const WRITE_EVERY: Duration = Duration::from_millis(500);

/// Remembers when it wrote.
pub(crate) struct ProgressWriter {
    shared: Arc<Shared>,
    /// When it may write again.
    next_at: Duration,
}

impl ProgressWriter {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, next_at: Duration::ZERO }
    }

    /// When it will have something to write.
    pub(crate) fn wanted_at(&self) -> Option<Duration> {
        self.shared.reported.load(Ordering::Acquire).then_some(self.next_at)
    }

    /// Writes what was reported since the last time, of the attempts that still go on.
    pub(crate) fn write(&mut self, core: &Scheduler, env: &Environment, now: Duration) {
        if now < self.next_at || !self.shared.reported.swap(false, Ordering::AcqRel) {
            return;
        }
        let reported = core.held().filter_map(|attempt| Some((attempt, attempt.take_report()?)));
        let (attempts, items): (Vec<_>, Vec<_>) =
            reported.map(|(attempt, progress)| (attempt, (attempt.fence, progress))).unzip();
        // Also when there is nothing: a handler that nobody waits for any longer may go on reporting.
        self.next_at = now + WRITE_EVERY;
        if items.is_empty() {
            return;
        }
        let request = RecordProgress { items, now: env.now() };
        // Nobody's work waits for this: what cannot be written now is written later, or never.
        if let Err(fault) = self.shared.store.record_progress(&request) {
            trace::progress_not_written(&fault);
            for (attempt, (_, progress)) in attempts.into_iter().zip(request.items) {
                attempt.put_report_back(progress);
            }
            self.shared.reported.store(true, Ordering::Release);
        }
    }
}
