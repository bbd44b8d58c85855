//! Report from outside what became of tasks that no claim holds.

use conductor_model::{ErrorText, IllegalTransition, Jitter, Json, TaskId, Timestamp};

/// Reports from outside, each applied or refused by itself, in one transaction.
#[derive(Clone, Debug)]
pub struct ReportBatch {
    /// The reports, applied in this order; at most [`MAX_TASKS`](conductor_model::MAX_TASKS) at once.
    pub reports: Vec<Report>,
    /// The present moment.
    pub now: Timestamp,
    /// Chance for the jitter of retries.
    pub jitter: Jitter,
}

impl ReportBatch {
    /// Reports now, with chance from the source.
    pub fn new(reports: impl IntoIterator<Item = Report>, env: &crate::Environment) -> Self {
        Self { reports: reports.into_iter().collect(), now: env.now(), jitter: env.jitter() }
    }
}

/// One report on one leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The task.
    pub task: TaskId,
    /// The attempt that it speaks of: the task's own when it is RUNNING or settled, the next one when it is
    /// PENDING. Any other is stale. `None` speaks of whichever attempt there is.
    pub attempt: Option<u32>,
    /// What became of it.
    pub result: ReportedResult,
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq)]
pub enum ReportedResult {
    /// Somebody works on it. Reported again, it is a sign of life.
    Started,
    /// It ended well.
    Succeeded {
        /// What came out of it.
        output: Option<Json>,
    },
    /// It failed.
    Failed {
        /// Why.
        error: ErrorText,
        /// Whether a retry could help.
        retryable: bool,
        /// The wait that is asked for before the retry, in milliseconds, instead of the task's backoff.
        retry_after_ms: Option<u64>,
    },
    /// It was given up.
    Cancelled,
}

impl Report {
    fn new(task: TaskId, outcome: ReportedResult) -> Self {
        Self { task, attempt: None, result: outcome }
    }

    /// Somebody works on it.
    pub fn started(task: TaskId) -> Self {
        Self::new(task, ReportedResult::Started)
    }

    /// It ended well, without an output.
    pub fn succeeded(task: TaskId) -> Self {
        Self::new(task, ReportedResult::Succeeded { output: None })
    }

    /// It ended well, and this came out of it.
    pub fn succeeded_with(task: TaskId, output: Json) -> Self {
        Self::new(task, ReportedResult::Succeeded { output: Some(output) })
    }

    /// It failed; a retry could help.
    pub fn failed(task: TaskId, error: impl Into<ErrorText>) -> Self {
        Self::new(task, ReportedResult::Failed { error: error.into(), retryable: true, retry_after_ms: None })
    }

    /// It failed, and no retry could help.
    pub fn failed_permanently(task: TaskId, error: impl Into<ErrorText>) -> Self {
        Self::new(
            task,
            ReportedResult::Failed { error: error.into(), retryable: false, retry_after_ms: None },
        )
    }

    /// It was given up.
    pub fn cancelled(task: TaskId) -> Self {
        Self::new(task, ReportedResult::Cancelled)
    }

    /// Says which attempt the report speaks of.
    pub fn for_attempt(mut self, attempt: u32) -> Self {
        self.attempt = Some(attempt);
        self
    }
}

/// What became of one report.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportOutcome {
    /// It was written.
    Applied,
    /// The same had been reported before: nothing changed.
    Unchanged,
    /// It speaks of another attempt than the present one: nothing changed.
    Stale {
        /// The present attempt.
        attempt: u32,
    },
    /// It does not go with the task: nothing changed.
    Rejected(ReportRejection),
}

/// Why a report was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportRejection {
    /// There is no such task.
    #[error("there is no task {0}")]
    NotFound(TaskId),
    /// The task is a parent: its state follows from its children.
    #[error("task {0} is a parent: its state follows from its children")]
    Parent(TaskId),
    /// A claim holds the task; its holder settles it.
    #[error("task {0} is held by a claim")]
    Claimed(TaskId),
    /// Something above the task is being cancelled: it is not to be started.
    #[error("task {0} is not to be started: something above it is being cancelled")]
    CancelInProgress(TaskId),
    /// The state machine does not allow it.
    #[error("task {id}: {illegal}")]
    Illegal {
        /// The task.
        id: TaskId,
        /// The pair that is not in the table.
        illegal: IllegalTransition,
    },
}
