//! States, signals, and the nodes of the tree: leaves, parents and runs.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The state of a task or of a run.
///
/// A terminal state is not always final: a FAILED task with a scheduled retry becomes PENDING again. Decisions therefore
/// depend on [`NodeStatus::is_settled`], not on the state alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Not started, or waiting to be started again.
    Pending,
    /// A leaf: a worker or another program works on it. A parent or run: at least one descendant has started.
    Running,
    /// Successful. No transition leaves this state.
    Succeeded,
    /// Failed. If a retry is scheduled, the task becomes PENDING again.
    Failed,
    /// Cancelled.
    Cancelled,
}

/// The state of a task.
pub type TaskState = State;
/// The state of a run.
pub type RunState = State;

impl State {
    /// All states, in the order of their codes.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// Returns whether the state is SUCCEEDED, FAILED or CANCELLED.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Returns the signal that leads to this terminal state; `None` for PENDING and RUNNING.
    pub fn ended_by(self) -> Option<Signal> {
        match self {
            Self::Succeeded => Some(Signal::Succeed),
            Self::Failed => Some(Signal::Fail),
            Self::Cancelled => Some(Signal::Cancel),
            Self::Pending | Self::Running => None,
        }
    }

    /// Returns the text form: `PENDING`, `RUNNING`, `SUCCEEDED`, `FAILED` or `CANCELLED`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Returns the code that every store writes for this state. Codes never change.
    pub fn code(self) -> i64 {
        match self {
            Self::Pending => 0,
            Self::Running => 1,
            Self::Succeeded => 2,
            Self::Failed => 3,
            Self::Cancelled => 4,
        }
    }

    /// Returns the state with this [code](Self::code).
    pub fn from_code(code: i64) -> Option<Self> {
        usize::try_from(code).ok().and_then(|code| Self::ALL.get(code)).copied()
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A signal to a task or a run, which may change its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Work begins: by a claim, the first child, or an outside report.
    Start,
    /// The node is cancelled.
    Cancel,
    /// The node succeeded.
    Succeed,
    /// The node failed.
    Fail,
    /// A worker returns a claim without a result.
    Release,
    /// The retry of a failed leaf is due.
    Retry,
    /// A user revives a settled leaf.
    Revive,
    /// A descendant of a parent or run was revived.
    Reopen,
}

impl Signal {
    /// All signals.
    pub const ALL: [Self; 8] = [
        Self::Start,
        Self::Cancel,
        Self::Succeed,
        Self::Fail,
        Self::Release,
        Self::Retry,
        Self::Revive,
        Self::Reopen,
    ];

    /// Returns the signal in lower case, for instance `start`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Cancel => "cancel",
            Self::Succeed => "succeed",
            Self::Fail => "fail",
            Self::Release => "release",
            Self::Retry => "retry",
            Self::Revive => "revive",
            Self::Reopen => "reopen",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The type of a node in the tree of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeType {
    /// A task without a fan-out, which a handler or another program executes.
    Leaf,
    /// A task with a fan-out, whose state follows from its children.
    Parent,
    /// A run, whose state follows from its root tasks.
    Run,
}

impl NodeType {
    /// All node types.
    pub const ALL: [Self; 3] = [Self::Leaf, Self::Parent, Self::Run];
}

/// The properties of a task or run on which transitions depend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeStatus {
    /// Leaf, parent or run.
    pub node_type: NodeType,
    /// The current state.
    pub state: State,
    /// Whether a retry of a FAILED task is scheduled. Such a task is not settled.
    pub retry_scheduled: bool,
}

impl NodeStatus {
    /// Returns whether the state is terminal and no retry is scheduled.
    ///
    /// Only settled nodes count in the decision of their parent.
    pub fn is_settled(self) -> bool {
        self.state.is_terminal() && !(self.state == State::Failed && self.retry_scheduled)
    }
}
