//! What a cancel and a revival do to parents and runs.

use super::decision::{Decision, JoinStatus, ParentStatus};
use super::node::State;

/// What follows when a caller cancels a parent or a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelVerdict {
    /// It is CANCELLED, or being cancelled, already.
    Unchanged,
    /// It has settled otherwise.
    Settled,
    /// It gets a cancel cause.
    Request,
    /// Its children have settled: it settles in this state.
    Decide(State),
}

/// Judges the cancel of a parent or a run.
pub fn judge_cancel(state: State, status: ParentStatus) -> CancelVerdict {
    match (state, status.decide()) {
        (State::Cancelled, _) => CancelVerdict::Unchanged,
        (state, _) if state.is_terminal() => CancelVerdict::Settled,
        _ if status.cancel_cause.is_some() => CancelVerdict::Unchanged,
        (_, Decision::Settle(state)) => CancelVerdict::Decide(state),
        _ => CancelVerdict::Request,
    }
}

/// Why an ancestor cannot reopen for a revived task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReopenRejection {
    /// It SUCCEEDED, which is final.
    Succeeded,
    /// Its join runs on the present results.
    JoinRunning,
    /// It is being cancelled.
    CancelInProgress,
}

/// Returns whether a parent or a run can take back a revived descendant.
///
/// # Errors
/// Returns the reason why it cannot.
pub fn can_reopen(state: State, status: ParentStatus) -> Result<(), ReopenRejection> {
    match (state, status.join) {
        (State::Succeeded, _) => Err(ReopenRejection::Succeeded),
        (_, JoinStatus::Open) => Err(ReopenRejection::JoinRunning),
        _ if cancel_in_progress(state, status) => Err(ReopenRejection::CancelInProgress),
        _ => Ok(()),
    }
}

/// Returns whether a parent or a run has a cancel cause and is not settled.
pub fn cancel_in_progress(state: State, status: ParentStatus) -> bool {
    !state.is_terminal() && status.cancel_cause.is_some()
}

/// Returns whether a cancelled parent or run must reopen by itself when all below it is revived: some of its children do
/// not exist yet, or none of its children can be revived.
pub fn reopens_by_itself(state: State, status: ParentStatus) -> bool {
    let counts = status.counts;
    let is_incomplete = counts.total != Some(counts.created);
    state == State::Cancelled && (is_incomplete || (counts.failed == 0 && counts.cancelled == 0))
}
