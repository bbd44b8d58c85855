//! Takes reports from outside on leaves that no engine has claimed.

use crate::backend::{Node, TaskGroup, TaskRecord, TasksWanted};
use crate::ops::tx::{
    LeafChange, Transaction, TransitionError, change_leaves, corrupt_task, decide_ended_joins, fail_leaf,
    find_task, is_cancelling,
};
use crate::{Report, ReportBatch, ReportOutcome, ReportRejection, ReportedResult, StoreError};
use conductor_model::{
    AttemptFailure, Jitter, ReportVerdict, ReportedLeaf, Signal, State, TaskId, judge_report,
};

pub(crate) fn report<'r>(
    t: &mut Transaction<'_, 'r>,
    request: &'r ReportBatch,
) -> Result<Vec<ReportOutcome>, StoreError> {
    request.reports.iter().map(|report| take(t, report, request.jitter)).collect()
}

fn take<'r>(
    t: &mut Transaction<'_, 'r>,
    report: &'r Report,
    jitter: Jitter,
) -> Result<ReportOutcome, StoreError> {
    let rejected = |rejection| Ok(ReportOutcome::Rejected(rejection));
    let leaf = match find_task(t, report.task)? {
        None => return rejected(ReportRejection::NotFound(report.task)),
        Some(Node::Parent(_)) => return rejected(ReportRejection::IsParent(report.task)),
        Some(Node::Corrupt(corrupt)) => return Err(corrupt_task(corrupt.key, &corrupt.reason)),
        Some(Node::Leaves(leaf)) => leaf,
    };
    let status = leaf.status;
    let reported =
        ReportedLeaf { state: status.state, attempt: status.attempt, is_claimed: status.is_claimed };
    match judge_report(reported, state_of(&report.result), report.attempt) {
        ReportVerdict::Claimed => return rejected(ReportRejection::Claimed(report.task)),
        ReportVerdict::Stale => return Ok(ReportOutcome::Stale { attempt: status.attempt }),
        ReportVerdict::RepeatedStart => {
            t.store()?.refresh(&[leaf], None)?;
            return Ok(ReportOutcome::Unchanged);
        }
        ReportVerdict::Repeated => return Ok(ReportOutcome::Unchanged),
        ReportVerdict::RepeatedIfEqual if is_equal(t, report.task, &report.result)? => {
            return Ok(ReportOutcome::Unchanged);
        }
        ReportVerdict::RepeatedIfEqual | ReportVerdict::Apply => {}
    }
    // A report of a result is always recorded. A start is rejected below a cancelled ancestor.
    if report.result == ReportedResult::Started && is_cancelling(t, leaf.parent())? {
        return rejected(ReportRejection::CancelInProgress(report.task));
    }
    match apply(t, &leaf, report.task, &report.result, jitter) {
        Ok(()) => {
            // What a join decides comes before the next report.
            decide_ended_joins(t)?;
            Ok(ReportOutcome::Applied)
        }
        Err(TransitionError::Illegal(illegal)) => {
            rejected(ReportRejection::Illegal { id: report.task, illegal })
        }
        Err(TransitionError::Store(error)) => Err(error),
    }
}

fn state_of(result: &ReportedResult) -> State {
    match result {
        ReportedResult::Started => State::Running,
        ReportedResult::Succeeded { .. } => State::Succeeded,
        ReportedResult::Failed { .. } => State::Failed,
        ReportedResult::Cancelled => State::Cancelled,
    }
}

/// Whether the output or the error is the stored one.
fn is_equal(t: &mut Transaction<'_, '_>, id: TaskId, result: &ReportedResult) -> Result<bool, StoreError> {
    let stored = t.store()?.tasks(TasksWanted::Id(id), 1, usize::MAX)?.rows.items.pop();
    let Some(TaskRecord { task, .. }) = stored else { return Ok(false) };
    Ok(match result {
        ReportedResult::Succeeded { output } => task.output == *output,
        ReportedResult::Failed { error, .. } => task.last_error.as_ref() == Some(error),
        ReportedResult::Started | ReportedResult::Cancelled => true,
    })
}

fn apply<'r>(
    t: &mut Transaction<'_, 'r>,
    leaf: &TaskGroup,
    id: TaskId,
    result: &'r ReportedResult,
    jitter: Jitter,
) -> Result<(), TransitionError> {
    match result {
        ReportedResult::Started => change_leaves(t, leaf, LeafChange::of(Signal::Start)),
        ReportedResult::Cancelled => change_leaves(t, leaf, LeafChange::of(Signal::Cancel)),
        ReportedResult::Succeeded { output } => {
            let leaf = start_if_pending(t, leaf)?;
            let outputs = output.iter().filter_map(|output| Some((leaf.first()?, output))).collect();
            change_leaves(t, &leaf, LeafChange { outputs, ..LeafChange::of(Signal::Succeed) })
        }
        ReportedResult::Failed { error, retryable, retry_after_ms } => {
            let leaf = start_if_pending(t, leaf)?;
            let (retryable, retry_after_ms) = (*retryable, *retry_after_ms);
            let failure = AttemptFailure::Error { error: error.clone(), retryable, retry_after_ms };
            fail_leaf(t, &leaf, id, &failure, jitter)
        }
    }
    .map(drop)
}

/// A result that is reported of a PENDING leaf: it ran, and both transitions are recorded.
fn start_if_pending(t: &mut Transaction<'_, '_>, leaf: &TaskGroup) -> Result<TaskGroup, TransitionError> {
    if leaf.status.state != State::Pending {
        return Ok(*leaf);
    }
    change_leaves(t, leaf, LeafChange::of(Signal::Start))
}
