//! The state machine: one table, which the check, the documentation and the tests share.

use super::node::{NodeStatus, NodeType, Signal, State};
use std::fmt::Write as _;

/// One row of the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The signal.
    pub signal: Signal,
    /// The state after.
    pub to: State,
    /// The node types to which the row applies.
    pub node_types: &'static [NodeType],
    /// On FAILED: whether a retry must be scheduled (`Some(true)`) or must not be (`Some(false)`).
    pub retry_scheduled: Option<bool>,
    /// The operations that send the signal, for the documentation.
    pub actor: &'static str,
}

impl Transition {
    fn applies_to(&self, node: NodeStatus, signal: Signal) -> bool {
        self.from == node.state
            && self.signal == signal
            && self.node_types.contains(&node.node_type)
            && self.retry_scheduled.is_none_or(|scheduled| scheduled == node.retry_scheduled)
    }

    fn retry_condition(&self) -> &'static str {
        match self.retry_scheduled {
            Some(true) => ", retry scheduled",
            Some(false) => ", settled",
            None => "",
        }
    }
}

const LEAF: &[NodeType] = &[NodeType::Leaf];
const PARENT_OR_RUN: &[NodeType] = &[NodeType::Parent, NodeType::Run];
const ANY: &[NodeType] = &NodeType::ALL;

/// Returns the row for settled and unsettled nodes alike.
const fn row(
    (from, signal, to): (State, Signal, State),
    node_types: &'static [NodeType],
    actor: &'static str,
) -> Transition {
    Transition { from, signal, to, node_types, retry_scheduled: None, actor }
}

/// Restricts the row to nodes with a scheduled retry, or to nodes without one.
const fn when(retry_scheduled: bool, row: Transition) -> Transition {
    Transition { retry_scheduled: Some(retry_scheduled), ..row }
}

/// The state machine. Every transition that is not in this table is illegal.
pub const TRANSITIONS: &[Transition] = {
    use Signal as On;
    use State::{Cancelled, Failed, Pending, Running, Succeeded};
    &[
        row((Pending, On::Start, Running), ANY, "claim, fan-out, outside report"),
        row((Pending, On::Cancel, Cancelled), ANY, "sweep, claim, report, aggregate"),
        row((Running, On::Cancel, Cancelled), ANY, "sweep, report, aggregate"),
        when(true, row((Failed, On::Cancel, Cancelled), LEAF, "sweep, report")),
        row((Running, On::Succeed, Succeeded), ANY, "settle, report, aggregate"),
        row((Running, On::Fail, Failed), ANY, "settle, report, rescue, aggregate"),
        row((Running, On::Release, Pending), LEAF, "release, on a graceful stop"),
        when(true, row((Failed, On::Retry, Pending), LEAF, "retry, when due")),
        when(false, row((Failed, On::Revive, Pending), LEAF, "revive, by a user")),
        row((Cancelled, On::Revive, Pending), LEAF, "revive, by a user"),
        when(false, row((Failed, On::Reopen, Running), PARENT_OR_RUN, "revive of a descendant")),
        row((Cancelled, On::Reopen, Running), PARENT_OR_RUN, "revive of a descendant"),
    ]
};

/// The error of a signal that is illegal in the current state. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{signal} is not possible in state {from}{}", if *.retry_scheduled { " with a retry scheduled" } else { "" })]
pub struct IllegalTransition {
    /// The current state.
    pub from: State,
    /// Whether a retry is scheduled.
    pub retry_scheduled: bool,
    /// The rejected signal.
    pub signal: Signal,
}

/// Returns the state after `signal`, by the table [`TRANSITIONS`].
///
/// # Errors
/// Returns [`IllegalTransition`] if the table has no row for the node and the signal.
///
/// ```
/// use conductor_model::{transition, NodeStatus, NodeType, Signal, State};
///
/// let task = NodeStatus { node_type: NodeType::Leaf, state: State::Pending, retry_scheduled: false };
/// assert_eq!(transition(task, Signal::Start), Ok(State::Running));
/// assert!(transition(task, Signal::Succeed).is_err());
/// ```
pub fn transition(node: NodeStatus, signal: Signal) -> Result<State, IllegalTransition> {
    TRANSITIONS.iter().find(|row| row.applies_to(node, signal)).map(|row| row.to).ok_or(IllegalTransition {
        from: node.state,
        retry_scheduled: node.retry_scheduled,
        signal,
    })
}

/// Returns the state machine as a Markdown table.
pub fn transition_table() -> String {
    let mut table = String::from("| from | signal | to | node types | sent by |\n|---|---|---|---|---|\n");
    for row in TRANSITIONS {
        let condition = row.retry_condition();
        let node_types = match row.node_types {
            LEAF => "leaf",
            PARENT_OR_RUN => "parent, run",
            _ => "leaf, parent, run",
        };
        let Transition { from, signal, to, actor, .. } = row;
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| {from}{condition} | {signal} | {to} | {node_types} | {actor} |");
    }
    table
}

/// Returns the state machine as a Mermaid diagram.
pub fn state_diagram() -> String {
    let mut diagram = String::from("stateDiagram-v2\n    [*] --> PENDING\n");
    for row in TRANSITIONS {
        let condition = row.retry_condition();
        let node_types = match row.node_types {
            LEAF => " (leaf)",
            PARENT_OR_RUN => " (parent, run)",
            _ => "",
        };
        let Transition { from, signal, to, .. } = row;
        // Writing to a String cannot fail.
        let _ = writeln!(diagram, "    {from} --> {to}: {signal}{condition}{node_types}");
    }
    diagram.push_str("    SUCCEEDED --> [*]\n");
    diagram
}
