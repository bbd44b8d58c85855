//! What follows for a parent or a run, by its policy and by how its children ended: one table, from which the
//! documentation and the tests come.

use crate::policy::{Percent, Policy};
use crate::transition::{NodeType, State};
use std::fmt::{self, Write as _};

/// What a row of the table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyTopic {
    /// No children.
    Zero,
    /// One child.
    One,
    /// Several leaves.
    Many,
    /// Children that are parents themselves.
    Nested,
    /// Children that were cancelled, among others.
    Cancelled,
}

impl fmt::Display for PolicyTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Zero => "no children",
            Self::One => "one child",
            Self::Many => "many children",
            Self::Nested => "nested parents",
            Self::Cancelled => "cancelled children",
        })
    }
}

/// One row of the table: how the children ended, in this order, and how their parent ends under each policy.
#[derive(Clone, Copy, Debug)]
pub struct PolicyRow {
    /// What it is about.
    pub topic: PolicyTopic,
    /// The children: a leaf or a parent, and how it ends.
    pub children: &'static [(NodeType, State)],
    /// How their parent ends without a join, by [`POLICY_COLUMNS`]. With one, the join runs where this is SUCCEEDED, and
    /// its end is the parent's; elsewhere the join never runs.
    pub ends: [State; POLICY_COLUMNS.len()],
}

/// The policies of the table, with their names.
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

const fn row(topic: PolicyTopic, children: &'static [(NodeType, State)], ends: [State; 5]) -> PolicyRow {
    PolicyRow { topic, children, ends }
}

/// The table.
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

/// The table in Markdown: two lines for each row, without a join and with one.
pub fn policy_table() -> String {
    let names: Vec<&str> = POLICY_COLUMNS.iter().map(|(_, name)| *name).collect();
    let mut table = format!("| children | how they ended | join | {} |\n", names.join(" | "));
    let _ = writeln!(table, "|{}", "---|".repeat(3 + names.len()));
    for row in POLICY_ROWS {
        let child = |(shape, state): &(NodeType, State)| match shape {
            NodeType::Parent => format!("a parent {state}"),
            NodeType::Leaf | NodeType::Run => state.to_string(),
        };
        let children: Vec<String> = row.children.iter().map(child).collect();
        let children = if children.is_empty() { "–".into() } else { children.join(", ") };
        for joins in [false, true] {
            let end = |state: &State| match state {
                State::Succeeded if joins => "its join's end".into(),
                state => state.to_string(),
            };
            let ends: Vec<String> = row.ends.iter().map(end).collect();
            let join = if joins { "with" } else { "without" };
            // Writing to a String cannot fail.
            let _ = writeln!(table, "| {} | {children} | {join} | {} |", row.topic, ends.join(" | "));
        }
    }
    table
}
