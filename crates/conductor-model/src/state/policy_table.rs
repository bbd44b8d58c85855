//! Test data: how a parent or run settles, by its policy and the states of its children.
//!
//! `docs/guide/policies.md` and the tests of this crate and of the stores use this table. It is not part of the API.

use super::node::{NodeType, State};
use super::policy::{Percent, Policy};
use std::fmt::{self, Write as _};

/// The group of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyTopic {
    /// No children.
    Zero,
    /// One child.
    One,
    /// Several leaves.
    Many,
    /// At least one child that is a parent itself.
    Nested,
    /// At least one cancelled child.
    Cancelled,
}

impl fmt::Display for PolicyTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Zero => "no children",
            Self::One => "one child",
            Self::Many => "several leaves",
            Self::Nested => "nested parents",
            Self::Cancelled => "cancelled children",
        })
    }
}

/// One row of the table: the states of the children, and the state of their parent under each policy.
#[derive(Clone, Copy, Debug)]
pub struct PolicyRow {
    /// The group of the row.
    pub topic: PolicyTopic,
    /// The children in the order of their indices: leaf or parent, and the state in which it settles.
    pub children: &'static [(NodeType, State)],
    /// The state of the parent without a join, by [`POLICY_COLUMNS`].
    ///
    /// With a join: where this is SUCCEEDED, the join runs and its state is that of the parent. Elsewhere the join does
    /// not run.
    pub outcomes: [State; POLICY_COLUMNS.len()],
}

/// The policies of the columns, with their names.
pub const POLICY_COLUMNS: [(Policy, &str); 5] = [
    (Policy::Fail, "fail"),
    (Policy::Tolerate(1), "tolerate 1"),
    (Policy::ToleratePercent(Percent(50)), "tolerate 50 %"),
    (Policy::Ignore, "ignore"),
    (Policy::FailFast, "fail fast"),
];

const S: State = State::Succeeded;
const F: State = State::Failed;
const C: State = State::Cancelled;
const LEAF_S: (NodeType, State) = (NodeType::Leaf, S);
const LEAF_F: (NodeType, State) = (NodeType::Leaf, F);
const LEAF_C: (NodeType, State) = (NodeType::Leaf, C);
const PARENT_S: (NodeType, State) = (NodeType::Parent, S);
const PARENT_F: (NodeType, State) = (NodeType::Parent, F);
const PARENT_C: (NodeType, State) = (NodeType::Parent, C);

const fn row(topic: PolicyTopic, children: &'static [(NodeType, State)], outcomes: [State; 5]) -> PolicyRow {
    PolicyRow { topic, children, outcomes }
}

/// The rows of the table.
pub const POLICY_ROWS: &[PolicyRow] = &[
    row(PolicyTopic::Zero, &[], [S; 5]),
    row(PolicyTopic::One, &[LEAF_S], [S; 5]),
    row(PolicyTopic::One, &[LEAF_F], [F, S, F, S, F]),
    row(PolicyTopic::One, &[LEAF_C], [C; 5]),
    row(PolicyTopic::Many, &[LEAF_S, LEAF_S, LEAF_S], [S; 5]),
    row(PolicyTopic::Many, &[LEAF_F, LEAF_S, LEAF_S], [F, S, S, S, F]),
    row(PolicyTopic::Many, &[LEAF_S, LEAF_F, LEAF_S, LEAF_F], [F, F, S, S, F]),
    row(PolicyTopic::Many, &[LEAF_F, LEAF_F, LEAF_S], [F, F, F, S, F]),
    row(PolicyTopic::Many, &[LEAF_F, LEAF_F, LEAF_F], [F, F, F, S, F]),
    row(PolicyTopic::Nested, &[PARENT_S, LEAF_S], [S; 5]),
    row(PolicyTopic::Nested, &[PARENT_F, LEAF_S], [F, S, S, S, F]),
    row(PolicyTopic::Nested, &[PARENT_F, PARENT_F], [F, F, F, S, F]),
    row(PolicyTopic::Nested, &[PARENT_C, LEAF_S], [C; 5]),
    row(PolicyTopic::Nested, &[PARENT_C, PARENT_F], [F, C, C, C, F]),
    row(PolicyTopic::Cancelled, &[LEAF_C, LEAF_S], [C; 5]),
    row(PolicyTopic::Cancelled, &[LEAF_C, LEAF_C], [C; 5]),
    row(PolicyTopic::Cancelled, &[LEAF_F, LEAF_C], [F, C, C, C, F]),
    row(PolicyTopic::Cancelled, &[LEAF_C, LEAF_F], [F, C, C, C, F]),
    row(PolicyTopic::Cancelled, &[LEAF_F, LEAF_F, LEAF_C], [F, F, F, C, F]),
];

/// Returns the table in Markdown: two lines for each row, without and with a join.
pub fn policy_table() -> String {
    let names: Vec<&str> = POLICY_COLUMNS.iter().map(|(_, name)| *name).collect();
    let mut table = format!("| children | states of the children | join | {} |\n", names.join(" | "));
    let _ = writeln!(table, "|{}", "---|".repeat(3 + names.len()));
    for row in POLICY_ROWS {
        let child = |(node_type, state): &(NodeType, State)| match node_type {
            NodeType::Parent => format!("parent {state}"),
            NodeType::Leaf | NodeType::Run => state.to_string(),
        };
        let children: Vec<String> = row.children.iter().map(child).collect();
        let children = if children.is_empty() { "–".into() } else { children.join(", ") };
        for has_join in [false, true] {
            let outcome = |state: &State| match state {
                State::Succeeded if has_join => "state of the join".into(),
                state => state.to_string(),
            };
            let outcomes: Vec<String> = row.outcomes.iter().map(outcome).collect();
            let join = if has_join { "with" } else { "without" };
            // Writing to a String cannot fail.
            let _ = writeln!(table, "| {} | {children} | {join} | {} |", row.topic, outcomes.join(" | "));
        }
    }
    table
}
