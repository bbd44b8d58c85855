//! What a handler knows of the attempt that it makes.

use crate::TaskError;
use crate::handler::attempt::Attempt;
use crate::handler::clock::Monotonic;
use crate::store::EngineStore;
use conductor_model::{Json, Kind, Progress, RunId, TaskId};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a handler knows of its task, and of the attempt that it makes. Cheap to clone, and good in any thread.
#[derive(Clone)]
pub struct Context {
    pub(crate) attempt: Arc<Attempt>,
    pub(crate) shared: Arc<Shared>,
}

/// What all contexts of an engine share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn EngineStore>,
    pub(crate) clock: Arc<dyn Monotonic>,
    pub(crate) kinds: Vec<Kind>,
    /// Whether a handler reported its progress since it was last looked for.
    pub(crate) reported: AtomicBool,
}

impl Context {
    /// The task.
    pub fn id(&self) -> TaskId {
        self.attempt.fence.task
    }

    /// Its run.
    pub fn run(&self) -> RunId {
        self.attempt.run
    }

    /// Its parent; `None` for a root task.
    pub fn parent(&self) -> Option<TaskId> {
        self.attempt.parent
    }

    /// Its kind, by which the handler was found.
    pub fn kind(&self) -> &Kind {
        &self.shared.kinds[self.attempt.kind]
    }

    /// Its ordinal among its siblings, from 1.
    pub fn index(&self) -> u32 {
        self.attempt.index
    }

    /// Which attempt this is, from 1: it counts every start, also those that a crash ended.
    pub fn attempt(&self) -> u32 {
        self.attempt.fence.attempt
    }

    /// How often the task was retried: 0 at first.
    pub fn retry_count(&self) -> u32 {
        self.attempt.retry_count
    }

    /// Its input as it was given; `None` if it has none.
    pub fn input(&self) -> Option<&Json> {
        self.attempt.input.as_ref()
    }

    /// The input of its parent, read from the store at each call: for what all siblings have in common.
    ///
    /// # Errors
    /// A [`TaskError`] that is retried when the store cannot be read; a fatal one when there is no parent or its input is
    /// not a `T`.
    pub fn parent_input<T: DeserializeOwned>(&self) -> Result<T, TaskError> {
        let parent = self.parent().ok_or_else(|| TaskError::fatal("a root task has no parent"))?;
        let parent = self.shared.store.task(parent)?;
        let input = parent.and_then(|parent| parent.input);
        let input = input.as_ref().map_or("null", Json::as_str);
        serde_json::from_str(input).map_err(|error| TaskError::fatal(format!("the parent's input: {error}")))
    }

    /// How much time this attempt has left; `None` without a limit.
    pub fn remaining(&self) -> Option<Duration> {
        self.attempt.deadline().map(|deadline| deadline.saturating_sub(self.shared.clock.elapsed()))
    }

    /// Says how far this attempt has come, for whoever looks: see [`Query::task_progress`](conductor_store::Query::progress_of). It
    /// costs next to nothing, and may be called at every turn of a loop: the engine writes the newest word of each attempt,
    /// at most twice a second. A message longer than a kibibyte is cut.
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
        self.attempt.report(Progress { done, total, message: message.into().into() });
        self.shared.reported.store(true, Ordering::Release);
    }

    /// Whether the handler should give up: its time is over, its claim was lost, or the engine stops at once. What it
    /// returns then is not recorded.
    pub fn is_cancelled(&self) -> bool {
        // The engine may be waiting for the store, and has not looked yet.
        self.attempt.signal.is_given() || self.attempt.is_late(self.shared.clock.elapsed())
    }

    /// Waits so long, or until the handler should give up; `true` if it should. It blocks the thread, and is not for
    /// asynchronous handlers, which are dropped.
    #[must_use]
    pub fn sleep(&self, time: Duration) -> bool {
        self.shared.clock.wait(&self.attempt.signal, time, self.attempt.deadline())
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
