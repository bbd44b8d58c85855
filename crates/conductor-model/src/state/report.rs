//! What follows from a report from outside on a leaf that no engine has claimed.

use super::node::State;

/// The leaf that a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedLeaf {
    /// The state.
    pub state: State,
    /// The number of the last attempt.
    pub attempt: u32,
    /// Whether an engine has claimed it.
    pub is_claimed: bool,
}

/// What follows from a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportVerdict {
    /// It is rejected: an engine has claimed the leaf.
    Claimed,
    /// It is about an earlier attempt.
    Stale,
    /// The start was reported before: the report is a sign of life.
    RepeatedStart,
    /// The same was reported before.
    Repeated,
    /// The same was reported before, if the stored output or error is equal; otherwise it is rejected.
    RepeatedIfEqual,
    /// It is applied, if the state machine allows it.
    Apply,
}

/// Judges a report that a leaf is in the state `reported`, which is any but PENDING.
///
/// `attempt` is the attempt that the report names. A report on a PENDING leaf is about its next attempt.
pub fn judge_report(leaf: ReportedLeaf, reported: State, attempt: Option<u32>) -> ReportVerdict {
    let present = leaf.attempt + u32::from(leaf.state == State::Pending);
    if leaf.is_claimed {
        return ReportVerdict::Claimed;
    }
    if attempt.is_some_and(|attempt| attempt != present) {
        return ReportVerdict::Stale;
    }
    match (leaf.state, reported) {
        (State::Running, State::Running) => ReportVerdict::RepeatedStart,
        (State::Cancelled, State::Cancelled) => ReportVerdict::Repeated,
        (State::Succeeded, State::Succeeded) | (State::Failed, State::Failed) => {
            ReportVerdict::RepeatedIfEqual
        }
        _ => ReportVerdict::Apply,
    }
}
