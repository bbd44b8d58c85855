//! Waits until a run has settled.

use super::completion::{Completion, EngineEnd};
use super::error::{Blocked, RunError};
use super::mailbox::Mailbox;
use super::store_retry::StoreRetry;
use crate::engine_store::EngineStore;
use conductor_model::{Kind, Run, RunId};
use conductor_store::MAX_PAGE;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How many external tasks and unhandled kinds an error names at most.
const MAX_NAMED: usize = 10;
/// How often a caller reads the run if the engine does not wake it.
const READ_EVERY: Duration = Duration::from_millis(200);
/// How often a caller asks whether the run is blocked: that costs more than reading the run.
const CHECK_BLOCKED_EVERY: Duration = Duration::from_secs(1);

/// The parts of an engine that a waiting caller needs.
pub(super) struct RunWaiter<'a> {
    pub(super) store: &'a dyn EngineStore,
    pub(super) completion: &'a Completion,
    pub(super) mailbox: &'a Mailbox,
    /// The kinds that the engine handles.
    pub(super) kinds: &'a HashSet<Kind>,
    pub(super) waits_for_external_work: bool,
}

impl RunWaiter<'_> {
    /// Waits until the run has settled, and returns it.
    pub(super) fn wait(&self, run: RunId) -> Result<Run, RunError> {
        let (started, mut retry) = (Instant::now(), StoreRetry::default());
        let mut next_check = started;
        loop {
            // Before the run is read: a later change wakes the wait below.
            let (seen, end) = self.completion.status();
            let has_ended = end.is_some();
            let checks = !self.waits_for_external_work && Instant::now() >= next_check;
            if checks {
                next_check = Instant::now() + CHECK_BLOCKED_EVERY;
            }
            match self.read(run, end, checks) {
                Ok(Some(settled)) => return Ok(settled),
                Ok(None) => retry = StoreRetry::default(),
                Err(RunError::Store(error))
                    if !has_ended
                        && retry.should_retry(&error, started.elapsed(), self.mailbox.stop_request()) => {}
                Err(error) => return Err(error),
            }
            self.completion.wait(seen, READ_EVERY);
        }
    }

    /// Returns the run if it has settled. `end` is how the engine had ended before this call.
    fn read(&self, run: RunId, end: Option<EngineEnd>, checks: bool) -> Result<Option<Run>, RunError> {
        if let Some(settled) = self.settled(run)? {
            return Ok(Some(settled));
        }
        if let Some(end) = end {
            return Err(end.error().unwrap_or(RunError::Stopped));
        }
        if checks { self.check_blocked(run) } else { Ok(None) }
    }

    fn settled(&self, run: RunId) -> Result<Option<Run>, RunError> {
        let found = self.store.run(run)?.ok_or(RunError::RunNotFound(run))?;
        Ok(found.state.is_terminal().then_some(found))
    }

    /// Returns an error if the engine cannot do the rest of the run, or the run if it has settled meanwhile.
    fn check_blocked(&self, run: RunId) -> Result<Option<Run>, RunError> {
        // All ready kinds, not the first few: this engine may handle the last one.
        let mut blockers = self.store.run_blockers(run, MAX_PAGE)?;
        if blockers.is_nothing() {
            // The run has settled since it was read, or it never will.
            return self.settled(run)?.map(Some).ok_or(RunError::Inconsistent(run));
        }
        let is_handled = blockers.ready.iter().any(|kind| self.kinds.contains(kind));
        if blockers.claimed || blockers.open || blockers.other_work || is_handled {
            return Ok(None);
        }
        blockers.ready.truncate(MAX_NAMED);
        blockers.external_tasks.truncate(MAX_NAMED);
        Err(RunError::Blocked(Blocked {
            run,
            unhandled_kinds: blockers.ready,
            external_tasks: blockers.external_tasks,
            is_open: false,
            stalled_tasks: Vec::new(),
        }))
    }
}
