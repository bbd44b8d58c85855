//! Transitions of parents and runs.

use super::counts::apply_policies;
use super::load::load_parent;
use super::transaction::{Transaction, TransitionError};
use crate::StoreError;
use crate::backend::{ParentKey, ParentRow, ParentWrite, RunKey};
use conductor_model::{
    AttemptFailure, EventBody, Json, ParentStatus, RetryDecision, Signal, State, transition, transition_event,
};

/// What a transition of a parent brings along.
#[derive(Clone, Debug, Default)]
pub(crate) struct ParentChange<'a> {
    /// The output.
    pub(crate) output: Option<Json>,
    /// Why the parent fails by itself, and not by its children.
    pub(crate) failure: Option<&'a AttemptFailure>,
    /// Whether its counts cannot be read.
    pub(crate) is_corrupt: bool,
}

/// Executes one transition of a parent or a run. `row` is afterwards as it is written.
///
/// An illegal transition changes nothing.
pub(crate) fn change_parent(
    t: &mut Transaction<'_, '_>,
    row: &mut ParentRow,
    signal: Signal,
    change: ParentChange<'_>,
) -> Result<(), TransitionError> {
    let before = row.node.node_status();
    row.node.state = transition(before, signal).map_err(TransitionError::Illegal)?;
    row.node.due_at = None;
    if signal == Signal::Reopen {
        row.status = row.status.reopened();
    }
    t.push_parent(ParentWrite {
        row: *row,
        is_corrupt: change.is_corrupt,
        output: change.output,
        clears_output: signal == Signal::Reopen,
        error: change.failure.map(AttemptFailure::text),
    });
    let body = match change.failure {
        Some(failure) => Some(EventBody::failed(failure, RetryDecision::NotRetryable)),
        None => transition_event(before.node_type, signal),
    };
    if let Some(body) = body {
        t.push_parent_event(row.node.key, body);
    }
    if let Some(above) = row.node.above {
        t.add_count(above, Some(before), row.node.node_status(), 1);
        match signal {
            // A parent that reopens may be the first task of its run that starts.
            Signal::Start | Signal::Reopen => start_run(t, above.run)?,
            // The policy of the parent above applies to this failure, and not to what follows it.
            Signal::Fail => apply_policies(t)?,
            _ => {}
        }
    }
    Ok(())
}

/// Starts the run of a task that has started.
pub(super) fn start_run(t: &mut Transaction<'_, '_>, run: RunKey) -> Result<(), StoreError> {
    if !t.started.insert(run) || t.ancestors.run(run).is_some_and(|run| run.state != State::Pending) {
        return Ok(());
    }
    if let Some(mut row) = load_parent(t, ParentKey::run(run))?
        && row.node.state == State::Pending
    {
        let started = change_parent(t, &mut row, Signal::Start, ParentChange::default());
        started.map_err(|error| error.in_step_of_parent(row.node.key))?;
    }
    Ok(())
}

/// Settles a parent or a run with a signal that follows from its children, by way of RUNNING where that is due.
pub(super) fn settle_parent(
    t: &mut Transaction<'_, '_>,
    row: &mut ParentRow,
    signal: Signal,
    output: Option<Json>,
) -> Result<(), StoreError> {
    let key = row.node.key;
    let in_step = |error: TransitionError| error.in_step_of_parent(key);
    if ParentStatus::passes_through_running(row.node.state, signal) {
        change_parent(t, row, Signal::Start, ParentChange::default()).map_err(in_step)?;
    }
    change_parent(t, row, signal, ParentChange { output, ..ParentChange::default() }).map_err(in_step)
}
