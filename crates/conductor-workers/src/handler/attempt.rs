//! One attempt at one task: what the engine, the thread that runs it and the handler share of it.

use crate::handler::cancel_token::CancelToken;
use conductor_model::{Json, Progress, RunId, TaskId};
use conductor_store::{ClaimedTask, Fence};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// An attempt. Whether it begins is decided once, by whoever comes first: a thread that begins it, or the engine that
/// takes it back.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) fence: Fence,
    pub(crate) run: RunId,
    pub(crate) parent: Option<TaskId>,
    pub(crate) index: u32,
    /// A place in the engine's list of kinds.
    pub(crate) kind: usize,
    pub(crate) input: Option<Json>,
    pub(crate) retry_count: u32,
    pub(crate) timeout: Option<Duration>,
    pub(crate) alone: bool,
    /// Tells the handler to give up.
    pub(crate) signal: CancelToken,
    /// What its handler reported last, until it is written.
    progress: Mutex<Option<Progress>>,
    /// When it began, in microseconds of the engine's monotonic clock and one more; or one of the two below.
    began: AtomicU64,
    /// Whether the thread that runs it came back, or the engine stopped waiting for it: whichever was first.
    over: AtomicBool,
}

const WAITS: u64 = 0;
const TAKEN_BACK: u64 = u64::MAX;

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
            timeout: task.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
            alone: task.isolated,
            signal: CancelToken::default(),
            progress: Mutex::default(),
            began: AtomicU64::new(WAITS),
            over: AtomicBool::new(false),
        }
    }

    /// Its handler says how far it has come.
    pub(crate) fn report(&self, progress: Progress) {
        *self.progress() = Some(progress);
    }

    /// What its handler reported, once.
    pub(crate) fn take_report(&self) -> Option<Progress> {
        self.progress().take()
    }

    /// What could not be written, unless there is something newer.
    pub(crate) fn put_report_back(&self, progress: Progress) {
        self.progress().get_or_insert(progress);
    }

    fn progress(&self) -> MutexGuard<'_, Option<Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins it, unless it was taken back.
    pub(crate) fn begin(&self, now: Duration) -> bool {
        let now = u64::try_from(now.as_micros()).unwrap_or(TAKEN_BACK - 2) + 1;
        self.began.compare_exchange(WAITS, now, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Takes it back, unless it began.
    pub(crate) fn take_back(&self) -> bool {
        self.began.compare_exchange(WAITS, TAKEN_BACK, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether it was taken back.
    pub(crate) fn is_taken_back(&self) -> bool {
        self.began.load(Ordering::Acquire) == TAKEN_BACK
    }

    /// Ends it, for the thread that came back or for the engine that stops waiting: whether this was the first to do so.
    pub(crate) fn end(&self) -> bool {
        !self.over.swap(true, Ordering::AcqRel)
    }

    /// When it began.
    pub(crate) fn began(&self) -> Option<Duration> {
        match self.began.load(Ordering::Acquire) {
            WAITS | TAKEN_BACK => None,
            micros => Some(Duration::from_micros(micros - 1)),
        }
    }

    /// When its time is over, if it began and has a limit.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        Some(self.began()? + self.timeout?)
    }

    /// Whether its time is over.
    pub(crate) fn is_late(&self, now: Duration) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }
}
