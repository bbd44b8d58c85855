//! One attempt at one task: the state that the engine, the worker thread and the handler share.

use crate::handler::batch::Batch;
use crate::handler::cancel_token::CancelToken;
use conductor_model::{Json, Progress};
use conductor_store::{AttemptResult, Fence};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// An attempt at a task that a worker has taken out of its batch.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) batch: Arc<Batch>,
    /// The task in the batch.
    pub(crate) bit: u64,
    /// Where it is among the [`RunningAttempts`](super::running::RunningAttempts).
    pub(crate) slot: usize,
    pub(crate) input: Option<Json>,
    /// On the engine's monotonic clock.
    started_at: Duration,
    /// Created at the first use: most short attempts never need them.
    signals: OnceLock<Box<Signals>>,
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

impl Attempt {
    /// Starts an attempt at a task that was taken out of its batch.
    pub(crate) fn start(batch: Arc<Batch>, bit: u64, slot: usize, now: Duration) -> Arc<Self> {
        let input = batch.take_input(bit);
        Arc::new(Self {
            batch,
            bit,
            input,
            slot,
            started_at: now,
            signals: OnceLock::new(),
            finished: AtomicBool::new(false),
        })
    }

    /// Returns the fence of the attempt.
    pub(crate) fn fence(&self) -> Fence {
        self.batch.fence(self.bit)
    }

    /// Returns whether the engine still has the claim.
    pub(crate) fn is_claimed(&self) -> bool {
        self.batch.claimed() & self.bit != 0
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

    /// Finishes the attempt. Returns whether this call was the first: the handler may return while the engine abandons
    /// the attempt.
    pub(crate) fn finish(&self) -> bool {
        !self.finished.swap(true, Ordering::AcqRel)
    }

    /// Returns whether the handler has returned, or the engine has abandoned the attempt.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Returns when the timeout ends the attempt; `None` without a timeout.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        Some(self.started_at + Duration::from_millis(self.batch.timeout_ms?.into()))
    }

    /// Returns whether the timeout has passed.
    pub(crate) fn is_overdue(&self, now: Duration) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the scheduler is told when handlers have returned.
#[derive(Debug)]
pub(crate) enum Finished {
    /// Tasks of this batch have succeeded without an output.
    Succeeded(Arc<Batch>),
    /// The result of one attempt; `None` if the Tokio runtime was shut down before the handler returned.
    Attempt(Arc<Attempt>, Option<AttemptResult>),
}

impl Finished {
    /// Records the result of an attempt. Returns what the scheduler must be told; `None` if it was told about this batch and
    /// has not looked at it.
    pub(crate) fn record(attempt: Arc<Attempt>, result: Option<AttemptResult>) -> Option<Self> {
        match result {
            Some(AttemptResult::Succeeded { output: None }) => {
                attempt.batch.succeed(attempt.bit).then(|| Self::Succeeded(Arc::clone(&attempt.batch)))
            }
            result => Some(Self::Attempt(attempt, result)),
        }
    }
}
