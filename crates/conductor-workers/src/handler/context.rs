//! The information that a handler has about its attempt.

use crate::engine_store::EngineStore;
use crate::handler::attempt::Attempt;
use crate::handler::clock::Monotonic;
use crate::handler::task_error::TaskError;
use conductor_model::{Json, Kind, Progress, RunId, TaskId};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The task and the attempt that a handler works on. Cheap to clone; usable in every thread.
#[derive(Clone)]
pub struct Context {
    pub(crate) attempt: Arc<Attempt>,
    pub(crate) shared: Arc<ContextShared>,
}

/// The state that all contexts of an engine share.
pub(crate) struct ContextShared {
    pub(crate) store: Arc<dyn EngineStore>,
    pub(crate) clock: Arc<dyn Monotonic>,
    pub(crate) kinds: Vec<Kind>,
    /// Whether a handler has reported progress since the engine last wrote it.
    pub(crate) has_progress: AtomicBool,
}

impl Context {
    /// Returns the id of the task.
    pub fn id(&self) -> TaskId {
        self.attempt.fence().task
    }

    /// Returns the id of the task's run.
    pub fn run(&self) -> RunId {
        self.attempt.batch.run
    }

    /// Returns the id of the task's parent; `None` for a root task.
    pub fn parent(&self) -> Option<TaskId> {
        self.attempt.batch.parent
    }

    /// Returns the kind of the task.
    pub fn kind(&self) -> &Kind {
        &self.shared.kinds[self.attempt.batch.kind]
    }

    /// Returns the index of the task among its siblings, from 1; 0 for a join.
    pub fn index(&self) -> u32 {
        self.attempt.batch.index(self.attempt.bit)
    }

    /// Returns the number of this attempt, from 1. It counts every claim of the task, including attempts that ended with
    /// a crash.
    pub fn attempt(&self) -> u32 {
        self.attempt.fence().attempt
    }

    /// Returns how many retries the task has used: 0 in the first attempt.
    pub fn retry_count(&self) -> u32 {
        self.attempt.batch.retry_count
    }

    /// Returns the input of the task as JSON; `None` if it has no input.
    pub fn input(&self) -> Option<&Json> {
        self.attempt.input.as_ref()
    }

    /// Returns the input of the task's parent, for data that all siblings share. Each call reads the store.
    ///
    /// # Errors
    /// Returns a retryable [`TaskError`] if the store fails, a fatal one if the task has no parent or if the parent's input
    /// is not a `T`.
    pub fn parent_input<T: DeserializeOwned>(&self) -> Result<T, TaskError> {
        let parent = self.parent().ok_or_else(|| TaskError::fatal("a root task has no parent"))?;
        let parent = self.shared.store.task(parent)?;
        let input = parent.and_then(|parent| parent.input);
        let input = input.as_ref().map_or("null", Json::as_str);
        serde_json::from_str(input).map_err(|error| {
            TaskError::fatal(format!("the parent's input does not have the requested type: {error}"))
        })
    }

    /// Returns the time until the timeout of this attempt; `None` without a timeout.
    pub fn remaining(&self) -> Option<Duration> {
        self.attempt.deadline().map(|deadline| deadline.saturating_sub(self.shared.clock.elapsed()))
    }

    /// Reports the progress of this attempt, for [`Query::task_progress`](conductor_store::Query::task_progress).
    ///
    /// A call costs next to nothing, so a loop may report in each iteration. The engine writes the last report of each
    /// attempt, at most twice a second. A message is cut to one KiB.
    ///
    /// ```
    /// # use conductor_workers::{Context, TaskError};
    /// fn resize(files: Vec<String>, context: Context) -> Result<(), TaskError> {
    ///     for (done, file) in files.iter().enumerate() {
    ///         context.progress(done as u64, Some(files.len() as u64), file);
    ///         // …
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn progress(&self, done: u64, total: Option<u64>, message: impl Into<String>) {
        self.attempt.set_progress(Progress { done, total, message: message.into().into() });
        self.shared.has_progress.store(true, Ordering::Release);
    }

    /// Returns whether the handler should stop: its timeout has passed, its claim was lost or cancelled, or the engine
    /// stops immediately. The engine does not record the handler's result in these cases.
    pub fn is_cancelled(&self) -> bool {
        // The engine may be waiting for the store, and cancels the token later.
        self.attempt.is_cancelled() || self.attempt.is_overdue(self.shared.clock.elapsed())
    }

    /// Blocks the thread for `time`, or until the handler should stop. Returns whether it should stop.
    ///
    /// Do not call it in an asynchronous handler: the engine drops its future instead.
    #[must_use]
    pub fn sleep(&self, time: Duration) -> bool {
        self.shared.clock.wait(self.attempt.cancel_token(), time, self.attempt.deadline())
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.id())
            .field("kind", self.kind())
            .field("index", &self.index())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}
