//! Transitions of leaves: all leaves of a group make the same transition.

use super::counts::apply_policies;
use super::load::load_parent;
use super::parents::start_run;
use super::parents_write::push_row;
use super::transaction::{Transaction, TransitionError};
use crate::StoreError;
use crate::backend::{ClaimWrite, LeafStatus, LeafWrite, NewEvent, Position, TaskGroup};
use conductor_model::{
    AttemptFailure, EventBody, FailedAttempt, Jitter, JoinStatus, Json, MaxRetries, NodeStatus, NodeType,
    RetryDecision, Signal, TaskId, decide_retry, lease_losses_after, transition, transition_event,
};

/// The largest attempt and number of retries. Only another program writes it; it does not increase.
pub(crate) const MAX_COUNT: u32 = 2_000_000_000;

/// A transition of leaves, and what it brings along.
#[derive(Clone, Debug)]
pub(crate) struct LeafChange<'r> {
    /// The signal.
    pub(crate) signal: Signal,
    /// The claim that starts the leaves.
    pub(crate) claim: Option<ClaimWrite>,
    /// The outputs of those that have one, by ascending offset.
    pub(crate) outputs: Vec<(u16, &'r Json)>,
    /// What is recorded.
    pub(crate) event: LeafEvent,
}

/// The event of a transition of leaves.
#[derive(Clone, Debug)]
pub(crate) enum LeafEvent {
    /// That of the transition.
    OfTransition,
    /// This one.
    Body(EventBody),
    /// None: another event says it.
    None,
}

impl LeafChange<'_> {
    /// A transition that brings nothing along.
    pub(crate) fn of(signal: Signal) -> Self {
        Self { signal, claim: None, outputs: Vec::new(), event: LeafEvent::OfTransition }
    }
}

/// Executes the same transition of all leaves of a group; returns the group as it is afterwards.
///
/// An illegal transition changes nothing.
pub(crate) fn change_leaves<'r>(
    t: &mut Transaction<'_, 'r>,
    group: &TaskGroup,
    change: LeafChange<'r>,
) -> Result<TaskGroup, TransitionError> {
    let status = status_after(&group.status, change.signal, None, group.block.max_retries)?;
    apply(t, group, LeafStatus { is_claimed: change.claim.is_some(), ..status }, change, None)
}

/// Removes the time for which leaves wait. It is no transition, and leaves no event.
pub(crate) fn clear_due(t: &mut Transaction<'_, '_>, group: &TaskGroup) {
    t.push_leaves(LeafWrite {
        before: *group,
        after: LeafStatus { due_at: None, ..group.status },
        claim: None,
        outputs: Vec::new(),
        clears_output: false,
        error: None,
    });
}

/// Fails the attempt of one leaf. The model decides whether and when it is retried.
pub(crate) fn fail_leaf(
    t: &mut Transaction<'_, '_>,
    leaf: &TaskGroup,
    id: TaskId,
    failure: &AttemptFailure,
    jitter: Jitter,
) -> Result<TaskGroup, TransitionError> {
    let attempt = FailedAttempt {
        retry_count: leaf.status.retry_count,
        max_retries: leaf.block.max_retries,
        backoff: leaf.block.backoff,
        failure,
    };
    let decision = decide_retry(attempt, t.now, jitter.fraction(id));
    let failed = Some((failure, decision));
    let status = status_after(&leaf.status, Signal::Fail, failed, leaf.block.max_retries)?;
    let event = LeafEvent::Body(EventBody::failed(failure, decision));
    let after = apply(t, leaf, status, LeafChange { event, ..LeafChange::of(Signal::Fail) }, Some(failure))?;
    if after.status.is_settled() {
        // The policy of the parent applies to this failure, and not to what follows it.
        apply_policies(t)?;
    }
    Ok(after)
}

fn status_after(
    before: &LeafStatus,
    signal: Signal,
    failure: Option<(&AttemptFailure, RetryDecision)>,
    max_retries: MaxRetries,
) -> Result<LeafStatus, TransitionError> {
    let state = transition(before.node_status(), signal).map_err(TransitionError::Illegal)?;
    let retry_count = match signal {
        Signal::Retry => before.retry_count.saturating_add(1).min(MAX_COUNT),
        Signal::Revive => 0,
        _ => before.retry_count,
    };
    let retries_left = max_retries.get().saturating_sub(retry_count);
    let failed = failure.map(|(failure, _)| failure);
    Ok(LeafStatus {
        state,
        due_at: failure.and_then(|(_, decision)| decision.due_at()),
        attempt: before.attempt.saturating_add(u32::from(signal == Signal::Start)).min(MAX_COUNT),
        retry_count,
        lease_losses: lease_losses_after(before.lease_losses, signal, failed, retries_left),
        is_claimed: false,
    })
}

fn apply<'r>(
    t: &mut Transaction<'_, 'r>,
    group: &TaskGroup,
    status: LeafStatus,
    change: LeafChange<'r>,
    failure: Option<&AttemptFailure>,
) -> Result<TaskGroup, TransitionError> {
    let LeafChange { signal, claim, outputs, event } = change;
    t.push_leaves(LeafWrite {
        before: *group,
        after: status,
        claim,
        outputs,
        clears_output: signal == Signal::Revive,
        error: failure.map(AttemptFailure::text),
    });
    let Position { parent, is_join } = group.block.position;
    let body = match event {
        LeafEvent::OfTransition => transition_event(NodeType::Leaf, signal),
        LeafEvent::Body(body) => Some(body),
        LeafEvent::None => None,
    };
    if let Some(body) = body {
        t.push_event(NewEvent::Leaves(parent.run, vec![group.keys()], body));
    }
    let (before, after) = (group.status.node_status(), status.node_status());
    if is_join {
        join_changed(t, group.block.position, after)?;
    } else {
        t.add_count(parent, Some(before), after, group.len());
        if signal == Signal::Start {
            start_run(t, parent.run)?;
        }
    }
    Ok(TaskGroup { status, ..*group })
}

/// Notes the new status of a join, which is counted nowhere. Once it has settled, its parent can be decided.
fn join_changed(
    t: &mut Transaction<'_, '_>,
    position: Position,
    after: NodeStatus,
) -> Result<(), StoreError> {
    let Some(mut row) = load_parent(t, position.parent)? else { return Ok(()) };
    row.status.join = if after.is_settled() { JoinStatus::Settled(after.state) } else { JoinStatus::Open };
    push_row(t, &row);
    if after.is_settled() {
        t.ended_joins.push(position.parent);
    }
    Ok(())
}
