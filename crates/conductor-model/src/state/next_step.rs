//! Which step has something to do for a parent or a run.

use super::decision::{JoinStatus, ParentStatus};
use super::node::{NodeType, State};

/// The step that a parent or a run needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NextStep {
    /// Create missing children.
    FanOut,
    /// Append children, or seal: a caller does it.
    Append,
    /// Decide it.
    Aggregate,
    /// Cancel what is open below it.
    Sweep,
}

impl NextStep {
    /// Returns the code that every store writes for this step. Codes start at 1 and never change.
    pub fn code(self) -> i64 {
        match self {
            Self::FanOut => 1,
            Self::Append => 2,
            Self::Aggregate => 3,
            Self::Sweep => 4,
        }
    }
}

/// Returns which step a parent or a run needs next; `None` if it waits for its children, its join or its time, or is
/// settled.
///
/// `is_delayed` says whether it waits for its time, and `swept` up to which index its children were swept.
pub fn next_step(
    node_type: NodeType,
    state: State,
    status: ParentStatus,
    is_delayed: bool,
    swept: u32,
) -> Option<NextStep> {
    let counts = status.counts;
    let is_cancelling = status.cancel_cause.is_some();
    let is_join_open = status.join == JoinStatus::Open;
    if state.is_terminal() || (is_delayed && !is_cancelling) {
        return None;
    }
    if is_cancelling && (is_join_open || (counts.open > 0 && swept < counts.created)) {
        return Some(NextStep::Sweep);
    }
    if is_join_open {
        return None;
    }
    if is_cancelling {
        return (counts.open == 0).then_some(NextStep::Aggregate);
    }
    match counts.total {
        None => (node_type == NodeType::Parent).then_some(NextStep::Append),
        Some(total) if counts.created < total => (node_type == NodeType::Parent).then_some(NextStep::FanOut),
        Some(_) => (counts.open == 0).then_some(NextStep::Aggregate),
    }
}
