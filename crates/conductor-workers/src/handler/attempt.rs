//! One attempt at one task: the state that the engine, the worker thread and the handler share.

use crate::handler::cancel_token::CancelToken;
use conductor_model::{Json, Progress, RunId, TaskId};
use conductor_store::{AttemptResult, ClaimedTask, Fence};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// An attempt. Either a worker thread starts it or the engine revokes it: the first of the two decides.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) fence: Fence,
    pub(crate) run: RunId,
    pub(crate) parent: Option<TaskId>,
    pub(crate) index: u32,
    /// An index into the engine's list of kinds.
    pub(crate) kind: usize,
    pub(crate) input: Option<Json>,
    pub(crate) retry_count: u32,
    timeout_ms: Option<u32>,
    pub(crate) isolated: bool,
    /// Created at the first use: most short attempts never need them.
    signals: OnceLock<Box<Signals>>,
    /// `NOT_STARTED`, `REVOKED`, or the start in microseconds of the engine's monotonic clock, plus one.
    start: AtomicU64,
    /// Set by the worker thread when the handler returns, or by the engine when it abandons the attempt.
    finished: AtomicBool,
}

/// What the engine and a running handler tell each other.
#[derive(Debug, Default)]
struct Signals {
    /// Asks the handler to stop.
    cancel_token: CancelToken,
    /// The last progress that the handler reported, until it is written.
    progress: Mutex<Option<Progress>>,
}

const NOT_STARTED: u64 = 0;
const REVOKED: u64 = u64::MAX;

impl Attempt {
    pub(crate) fn new(task: ClaimedTask, kind: usize) -> Self {
        Self {
            fence: task.fence,
            run: task.run,
            parent: task.parent,
            index: task.index,
            kind,
            input: task.input,
            retry_count: task.retry_count,
            timeout_ms: task.timeout_ms,
            isolated: task.isolated,
            signals: OnceLock::new(),
            start: AtomicU64::new(NOT_STARTED),
            finished: AtomicBool::new(false),
        }
    }

    fn signals(&self) -> &Signals {
        self.signals.get_or_init(Box::default)
    }

    /// Asks the handler to stop.
    pub(crate) fn cancel_token(&self) -> &CancelToken {
        &self.signals().cancel_token
    }

    /// Returns whether the handler was asked to stop.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.signals.get().is_some_and(|signals| signals.cancel_token.is_cancelled())
    }

    /// Sets the progress to write next.
    pub(crate) fn set_progress(&self, progress: Progress) {
        *lock(&self.signals().progress) = Some(progress);
    }

    /// Takes the progress to write.
    pub(crate) fn take_progress(&self) -> Option<Progress> {
        lock(&self.signals.get()?.progress).take()
    }

    /// Restores progress that could not be written, unless the handler has reported newer progress.
    pub(crate) fn restore_progress(&self, progress: Progress) {
        lock(&self.signals().progress).get_or_insert(progress);
    }

    /// The time limit of the attempt.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(|ms| Duration::from_millis(ms.into()))
    }

    /// Starts the attempt. Returns `false` if it was revoked.
    pub(crate) fn start(&self, now: Duration) -> bool {
        let now = u64::try_from(now.as_micros()).unwrap_or(REVOKED - 2) + 1;
        self.start.compare_exchange(NOT_STARTED, now, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Revokes the attempt: it will never start. Returns `false` if it has started.
    pub(crate) fn revoke(&self) -> bool {
        self.start.compare_exchange(NOT_STARTED, REVOKED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Returns whether the attempt was revoked.
    pub(crate) fn is_revoked(&self) -> bool {
        self.start.load(Ordering::Acquire) == REVOKED
    }

    /// Finishes the attempt. Returns whether this call was the first: the handler may return while the engine abandons
    /// the attempt.
    pub(crate) fn finish(&self) -> bool {
        !self.finished.swap(true, Ordering::AcqRel)
    }

    /// Returns whether the handler was called.
    pub(crate) fn has_started(&self) -> bool {
        self.started_at().is_some()
    }

    fn started_at(&self) -> Option<Duration> {
        match self.start.load(Ordering::Acquire) {
            NOT_STARTED | REVOKED => None,
            micros => Some(Duration::from_micros(micros - 1)),
        }
    }

    /// Returns when the timeout ends the attempt; `None` without a timeout and before the start.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        Some(self.started_at()? + self.timeout()?)
    }

    /// Returns whether the timeout has passed.
    pub(crate) fn is_overdue(&self, now: Duration) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An attempt whose handler returned, panicked or was dropped.
#[derive(Debug)]
pub(crate) struct FinishedAttempt {
    pub(crate) attempt: Arc<Attempt>,
    /// `None` if the Tokio runtime was shut down before the handler returned.
    pub(crate) result: Option<AttemptResult>,
}
