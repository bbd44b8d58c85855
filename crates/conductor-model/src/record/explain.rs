//! Explanations: why a run or a task is in its state.

use crate::id::{EngineId, RunId, TaskId};
use crate::name::{Kind, TaskName};
use crate::state::{CancelCause, State};
use crate::text::ErrorText;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Why a run or a task is in its state.
///
/// A node that waits for a descendant contains the explanation of that descendant, and so on down to a leaf.
///
/// ```
/// use conductor_model::{ExplainTarget, Explanation, RunId, State, StateReason, Timestamp};
///
/// let reason = StateReason::Delayed { until: Timestamp::from_millis(0)?, engines: None };
/// let target = ExplainTarget::Run(RunId::from_u128(1));
/// let delayed = Explanation { target, state: State::Pending, reason, caused_by: None };
/// assert_eq!(
///     delayed.to_string(),
///     "run 00000000000000000000000001 is PENDING: delayed until 1970-01-01T00:00:00.000Z"
/// );
/// # Ok::<(), conductor_model::TimestampOutOfRange>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The explained run or task.
    #[serde(flatten)]
    pub target: ExplainTarget,
    /// The state.
    pub state: State,
    /// Why it is in that state.
    pub reason: StateReason,
    /// The explanation of the descendant that causes the state.
    ///
    /// `None` if there is no such descendant, or if it is not among the children that were searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caused_by: Option<Box<Explanation>>,
}

impl Explanation {
    /// Returns the reason of the deepest explanation.
    pub fn root_cause(&self) -> &StateReason {
        self.caused_by.as_ref().map_or(&self.reason, |cause| cause.root_cause())
    }
}

/// The run or task of an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExplainTarget {
    /// A run.
    Run(RunId),
    /// A task.
    Task {
        /// The id.
        id: TaskId,
        /// The name.
        name: TaskName,
    },
}

/// Why a run or a task is in its state, or stuck in it.
///
/// Where the next step of an engine would continue the work, `engines` is the number of running engines. With 0
/// engines, the state does not change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StateReason {
    /// It SUCCEEDED.
    Succeeded,
    /// It failed permanently.
    Failed {
        /// The error of a leaf; `None` on a parent or run, whose state follows from its children.
        error: Option<ErrorText>,
        /// The number of failed children; 0 on a leaf.
        failed_children: u32,
    },
    /// Its join failed permanently. The policy tolerates all failures of its children.
    JoinFailed,
    /// It was cancelled.
    Cancelled {
        /// The cause; `None` if cancelled children or an outside report cancelled it.
        cause: Option<CancelCause>,
        /// The reason that the caller gave.
        reason: Option<ErrorText>,
    },
    /// It, or an ancestor, is being cancelled.
    BeingCancelled {
        /// The cause.
        cause: CancelCause,
        /// The reason that the caller gave.
        reason: Option<ErrorText>,
        /// The number of open children; 0 on a leaf.
        open: u32,
        /// The number of running engines.
        engines: u32,
    },
    /// It failed and waits for its retry.
    RetryDue {
        /// When the retry is due.
        at: Timestamp,
        /// How many times it has been retried.
        retry_count: u32,
        /// How many times it may be retried.
        max_retries: u32,
        /// The error of the last attempt.
        error: Option<ErrorText>,
        /// The number of running engines once the retry is due; `None` before.
        engines: Option<u32>,
    },
    /// It must not start before a certain time.
    Delayed {
        /// The earliest start.
        until: Timestamp,
        /// The number of running engines once the time has come; `None` before.
        engines: Option<u32>,
    },
    /// Its children are still being created.
    CreatingChildren {
        /// The number of children that exist.
        children: u32,
        /// The final number of children.
        total: u32,
        /// When its row last changed.
        since: Timestamp,
        /// The number of running engines.
        engines: u32,
    },
    /// It waits for its children, or a run waits for its root tasks.
    WaitingForChildren {
        /// The number of open children.
        open: u32,
        /// The number of children that exist.
        children: u32,
    },
    /// Its fan-out is open, and all existing children are settled.
    WaitingForAppend {
        /// The number of children that exist.
        children: u32,
        /// The last append, or its creation.
        since: Timestamp,
    },
    /// Its children are settled, and its join is not.
    WaitingForJoin,
    /// Its children and its join are settled, so the next aggregate step decides it.
    ReadyToAggregate {
        /// When the last of them settled.
        since: Timestamp,
        /// The number of running engines.
        engines: u32,
    },
    /// It is ready, and no running engine handles its kind.
    NoEngineForKind {
        /// The kind.
        kind: Kind,
        /// When it became ready.
        since: Timestamp,
    },
    /// It is ready, and the engines that handle its kind have reached their limit for it.
    AtConcurrencyLimit {
        /// The kind.
        kind: Kind,
        /// How many tasks of the kind may run.
        limit: u32,
        /// When it became ready.
        since: Timestamp,
    },
    /// It is ready and waits for a free worker.
    Ready {
        /// When it became ready.
        since: Timestamp,
        /// The number of engines that handle its kind.
        engines: u32,
        /// Whether lost leases isolated it: an engine runs at most one such task at a time.
        isolated: bool,
    },
    /// An engine has claimed it.
    Claimed {
        /// The engine; `None` if it is no longer registered.
        engine: Option<EngineId>,
        /// Whether that engine is running.
        engine_alive: bool,
        /// The attempt.
        attempt: u32,
        /// When the lease expires without a renewal.
        until: Timestamp,
        /// The last renewal, or the claim.
        heartbeat: Timestamp,
        /// The number of running engines if the lease is lost, so that one of them rescues the task; `None` otherwise.
        engines: Option<u32>,
    },
    /// Another program works on it.
    RunningExternally {
        /// The last report.
        since: Timestamp,
    },
    /// The handler of an earlier attempt is still running, although the attempt is over.
    HandlerOverran,
}

impl StateReason {
    /// Returns whether the reason is the state of a child, whose explanation follows if the child was found.
    pub(super) fn depends_on_child(&self) -> bool {
        match self {
            Self::WaitingForChildren { .. } => true,
            Self::Failed { error: None, failed_children: count, .. }
            | Self::BeingCancelled { open: count, .. } => *count > 0,
            _ => false,
        }
    }

    /// Returns whether the state changes only if a user or another program acts.
    pub fn needs_intervention(&self) -> bool {
        match self {
            Self::WaitingForAppend { .. } | Self::NoEngineForKind { .. } | Self::RunningExternally { .. } => {
                true
            }
            Self::CreatingChildren { engines, .. }
            | Self::ReadyToAggregate { engines, .. }
            | Self::BeingCancelled { engines, .. } => *engines == 0,
            Self::Delayed { engines, .. }
            | Self::RetryDue { engines, .. }
            | Self::Claimed { engines, .. } => *engines == Some(0),
            _ => false,
        }
    }
}
