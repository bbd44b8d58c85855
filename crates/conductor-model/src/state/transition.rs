//! The state machine: one table, from which the check, the documentation and the property tests come.

use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};

/// The state of a task or of a run.
///
/// The three terminal states are not the end of it: what decides anything is whether a task is *settled*,
/// which is a terminal state with no retry due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Nothing has happened yet, or a retry waits to be started.
    Pending,
    /// Somebody works on it; a parent or a run: something below it has started.
    Running,
    /// It ended well. Nothing leads out of this state.
    Succeeded,
    /// It failed; with a retry due it will be PENDING again.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// The state of a task.
pub type TaskState = State;
/// The state of a run.
pub type RunState = State;

impl State {
    /// Every state, in the order of the numbers that a store may keep for them.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// SUCCEEDED, FAILED and CANCELLED.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The signal that leads to this state as an end; `None` for PENDING and RUNNING, which are none.
    pub fn ended_by(self) -> Option<Signal> {
        match self {
            Self::Succeeded => Some(Signal::Succeed),
            Self::Failed => Some(Signal::Fail),
            Self::Cancelled => Some(Signal::Cancel),
            Self::Pending | Self::Running => None,
        }
    }

    /// The state as it is written everywhere: `PENDING`, `RUNNING`, `SUCCEEDED`, `FAILED`, `CANCELLED`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What happens to a task or a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Work begins: a claim, the first child, a report from outside.
    Start,
    /// It is given up.
    Cancel,
    /// It ended well.
    Succeed,
    /// It failed.
    Fail,
    /// A claim is handed back unfinished.
    Release,
    /// The retry of a failure is due.
    Retry,
    /// A person wants a settled leaf to be tried again.
    Revive,
    /// A descendant was revived.
    Reopen,
}

impl Signal {
    /// Every signal.
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

    /// The signal in lower case: `start`, `cancel` …
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

/// What the signal reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeType {
    /// A task without a fan-out, which somebody works on.
    Leaf,
    /// A task with a fan-out, whose state follows from its children.
    Parent,
    /// A run, whose state follows from its root tasks.
    Run,
}

impl NodeType {
    /// Every shape.
    pub const ALL: [Self; 3] = [Self::Leaf, Self::Parent, Self::Run];
}

/// As much of a task or run as a transition depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeStatus {
    /// Leaf, parent or run.
    pub node_type: NodeType,
    /// Its present state.
    pub state: State,
    /// Whether a FAILED task waits for a retry, and so is not settled.
    pub retry_due: bool,
}

impl NodeStatus {
    /// In a terminal state, with no retry due: its outcome counts for its parent.
    pub fn is_settled(self) -> bool {
        self.state.is_terminal() && !(self.state == State::Failed && self.retry_due)
    }
}

/// One row of the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state that it leaves.
    pub from: State,
    /// What happens.
    pub signal: Signal,
    /// The state that it leads to.
    pub to: State,
    /// Which shapes it holds for.
    pub node_types: &'static [NodeType],
    /// On FAILED: whether a retry must be due (`Some(true)`) or must not be (`Some(false)`).
    pub retry_due: Option<bool>,
    /// Who sends the signal, for the documentation.
    pub actor: &'static str,
}

impl Transition {
    fn due_in_words(&self) -> &'static str {
        match self.retry_due {
            Some(true) => ", a retry due",
            Some(false) => ", settled",
            None => "",
        }
    }
}

const LEAF: &[NodeType] = &[NodeType::Leaf];
const PARENTS: &[NodeType] = &[NodeType::Parent, NodeType::Run];
const ALL: &[NodeType] = &NodeType::ALL;

const fn row(
    from: State,
    signal: Signal,
    to: State,
    shapes: &'static [NodeType],
    retry_due: Option<bool>,
    who: &'static str,
) -> Transition {
    Transition { from, signal, to, node_types: shapes, retry_due, actor: who }
}

/// The state machine. What is not in it is illegal.
pub const TRANSITIONS: &[Transition] = &[
    row(State::Pending, Signal::Start, State::Running, ALL, None, "claim, fan-out, outside report"),
    row(State::Pending, Signal::Cancel, State::Cancelled, ALL, None, "sweep, claim, report, aggregate"),
    row(State::Running, Signal::Cancel, State::Cancelled, ALL, None, "sweep, report, aggregate"),
    row(State::Failed, Signal::Cancel, State::Cancelled, LEAF, Some(true), "sweep, report"),
    row(State::Running, Signal::Succeed, State::Succeeded, ALL, None, "settle, report, aggregate"),
    row(State::Running, Signal::Fail, State::Failed, ALL, None, "settle, report, rescue, aggregate"),
    row(State::Running, Signal::Release, State::Pending, LEAF, None, "a graceful stop hands work back"),
    row(State::Failed, Signal::Retry, State::Pending, LEAF, Some(true), "retry, when due"),
    row(State::Failed, Signal::Revive, State::Pending, LEAF, Some(false), "a person"),
    row(State::Cancelled, Signal::Revive, State::Pending, LEAF, None, "a person"),
    row(State::Failed, Signal::Reopen, State::Running, PARENTS, Some(false), "a revived descendant"),
    row(State::Cancelled, Signal::Reopen, State::Running, PARENTS, None, "a revived descendant"),
];

/// The signal does not apply to that state. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{signal} is not possible in state {from}{}", if *.retry_due { " with a retry due" } else { "" })]
pub struct IllegalTransition {
    /// The present state.
    pub from: State,
    /// Whether a retry is due on it.
    pub retry_due: bool,
    /// The signal that was sent.
    pub signal: Signal,
}

/// The state that `signal` leads to, by the table [`TRANSITIONS`].
///
/// # Errors
/// [`IllegalTransition`] for every pair that is not in the table.
///
/// ```
/// use conductor_model::{transition, NodeType, Signal, State, NodeStatus};
///
/// let task = NodeStatus { shape: NodeType::Leaf, state: State::Pending, retry_due: false };
/// assert_eq!(transition(task, Signal::Start), Ok(State::Running));
/// assert!(transition(task, Signal::Succeed).is_err());
/// ```
pub fn transition(subject: NodeStatus, signal: Signal) -> Result<State, IllegalTransition> {
    TRANSITIONS
        .iter()
        .find(|row| {
            row.from == subject.state
                && row.signal == signal
                && row.node_types.contains(&subject.node_type)
                && row.retry_due.is_none_or(|due| due == subject.retry_due)
        })
        .map(|row| row.to)
        .ok_or(IllegalTransition { from: subject.state, retry_due: subject.retry_due, signal })
}

/// The state machine as a Markdown table.
pub fn transition_table() -> String {
    let mut table = String::from("| from | signal | to | of | who |\n|---|---|---|---|---|\n");
    for row in TRANSITIONS {
        let due = row.due_in_words();
        let shapes = match row.node_types {
            LEAF => "leaf",
            PARENTS => "parent, run",
            _ => "leaf, parent, run",
        };
        // Writing to a String cannot fail.
        let _ =
            writeln!(table, "| {}{due} | {} | {} | {shapes} | {} |", row.from, row.signal, row.to, row.actor);
    }
    table
}

/// The state machine as a Mermaid diagram.
pub fn state_diagram() -> String {
    let mut diagram = String::from("stateDiagram-v2\n    [*] --> PENDING\n");
    for row in TRANSITIONS {
        let shapes = match row.node_types {
            LEAF => " (leaf)",
            PARENTS => " (parent, run)",
            _ => "",
        };
        let due = row.due_in_words();
        let _ = writeln!(diagram, "    {} --> {}: {}{due}{shapes}", row.from, row.to, row.signal);
    }
    diagram.push_str("    SUCCEEDED --> [*]\n");
    diagram
}
