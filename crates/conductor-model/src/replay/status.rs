//! Changes of a parent's status by events, which are rejected where they contradict it.

use crate::state::{CancelCause, ChildCounts, Decision, JoinStatus, ParentStatus, Policy, Signal, State};

pub(super) fn new_status(counts: ChildCounts, policy: Policy, has_join: bool) -> ParentStatus {
    let join = if has_join { JoinStatus::NotStarted } else { JoinStatus::None };
    ParentStatus { counts, policy, cancel_cause: None, join }
}

pub(super) fn seal(counts: &mut ChildCounts, total: u32) -> Result<(), String> {
    if let Some(sealed) = counts.total {
        return Err(format!("already sealed with {sealed} children"));
    }
    if total < counts.created {
        return Err(format!("sealed with {total} children, but has {}", counts.created));
    }
    counts.total = Some(total);
    Ok(())
}

pub(super) fn request_cancel(
    state: State,
    status: &mut ParentStatus,
    cause: CancelCause,
) -> Result<(), String> {
    if state.is_terminal() || status.cancel_cause.is_some() {
        return Err("cancelled, but it is settled or already being cancelled".into());
    }
    if cause == CancelCause::FailFast && status.decide() != Decision::CancelOpenChildren(cause) {
        return Err("cancelled by fail-fast, but its policy does not require it".into());
    }
    status.cancel_cause = Some(cause);
    Ok(())
}

/// Returns the signal that settles a parent in this state, if its status decides so.
pub(super) fn settling_signal(status: ParentStatus, state: State) -> Result<Signal, String> {
    let decision = status.decide();
    let signal = decision.signal().filter(|_| decision == Decision::Settle(state));
    signal.ok_or_else(|| format!("settled as {state}, but {decision:?} follows"))
}
