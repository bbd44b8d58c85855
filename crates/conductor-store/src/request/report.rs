//! Reports results of tasks that run outside an engine.

use conductor_model::{ErrorText, IllegalTransition, Jitter, Json, TaskId, Timestamp};

/// Reports about tasks that run outside an engine. The store applies or rejects each one by itself, in one transaction.
#[derive(Clone, Debug)]
pub struct ReportBatch {
    /// The reports, in the order in which they are applied; at most [`MAX_TASKS`](conductor_model::MAX_TASKS).
    pub reports: Vec<Report>,
    /// The present moment.
    pub now: Timestamp,
    /// The random number for the delays of retries.
    pub jitter: Jitter,
}

impl ReportBatch {
    /// Creates a batch. Time and randomness come from `env`.
    pub fn new(reports: impl IntoIterator<Item = Report>, env: &crate::Environment) -> Self {
        Self { reports: reports.into_iter().collect(), now: env.now(), jitter: env.jitter() }
    }
}

/// One report about one leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The task.
    pub task: TaskId,
    /// The attempt that the report is about: the present one of a RUNNING or settled task, the next one of a PENDING task.
    /// A report about another attempt is stale. `None` means the present attempt.
    pub attempt: Option<u32>,
    /// The reported result.
    pub result: ReportedResult,
}

/// The result that a report states.
#[derive(Clone, Debug, PartialEq)]
pub enum ReportedResult {
    /// The task has started. Repeated reports are heartbeats.
    Started,
    /// The task succeeded.
    Succeeded {
        /// The output.
        output: Option<Json>,
    },
    /// The task failed.
    Failed {
        /// The error text.
        error: ErrorText,
        /// Whether the store may retry the task.
        retryable: bool,
        /// The delay before the retry in milliseconds, instead of the backoff of the task.
        retry_after_ms: Option<u64>,
    },
    /// The task was cancelled.
    Cancelled,
}

impl Report {
    fn new(task: TaskId, result: ReportedResult) -> Self {
        Self { task, attempt: None, result }
    }

    /// Reports that the task has started.
    pub fn started(task: TaskId) -> Self {
        Self::new(task, ReportedResult::Started)
    }

    /// Reports success without an output.
    pub fn succeeded(task: TaskId) -> Self {
        Self::new(task, ReportedResult::Succeeded { output: None })
    }

    /// Reports success with an output.
    pub fn succeeded_with(task: TaskId, output: Json) -> Self {
        Self::new(task, ReportedResult::Succeeded { output: Some(output) })
    }

    /// Reports a failure that may be retried.
    pub fn failed(task: TaskId, error: impl Into<ErrorText>) -> Self {
        Self::new(task, ReportedResult::Failed { error: error.into(), retryable: true, retry_after_ms: None })
    }

    /// Reports a permanent failure, which is not retried.
    pub fn failed_permanently(task: TaskId, error: impl Into<ErrorText>) -> Self {
        Self::new(
            task,
            ReportedResult::Failed { error: error.into(), retryable: false, retry_after_ms: None },
        )
    }

    /// Reports that the task was cancelled.
    pub fn cancelled(task: TaskId) -> Self {
        Self::new(task, ReportedResult::Cancelled)
    }

    /// Sets the attempt that the report is about. Default: the present one.
    pub fn for_attempt(mut self, attempt: u32) -> Self {
        self.attempt = Some(attempt);
        self
    }
}

/// The outcome of one report.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportOutcome {
    /// The report was written.
    Applied,
    /// The same was reported before. Nothing changed.
    Unchanged,
    /// The report is about another attempt than the present one. Nothing changed.
    Stale {
        /// The present attempt.
        attempt: u32,
    },
    /// The task does not allow the report. Nothing changed.
    Rejected(ReportRejection),
}

/// The reason why a report was rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportRejection {
    /// The task does not exist.
    #[error("task {0} does not exist; check the id, or whether the run was pruned")]
    NotFound(TaskId),
    /// The task is a parent. Its state follows from its children.
    #[error("task {0} is a parent; report its children instead")]
    IsParent(TaskId),
    /// An engine has claimed the task, and settles it.
    #[error("task {0} is claimed by an engine; only that engine can settle it")]
    Claimed(TaskId),
    /// An ancestor of the task is being cancelled, so that the task must not start.
    #[error("task {0} must not start: an ancestor is being cancelled")]
    CancelInProgress(TaskId),
    /// The state machine does not allow it.
    #[error("task {id}: {illegal}")]
    Illegal {
        /// The task.
        id: TaskId,
        /// The state and the signal that do not fit.
        illegal: IllegalTransition,
    },
}
