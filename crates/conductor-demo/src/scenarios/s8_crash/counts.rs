//! Counts rows and events, to show that no work was lost or done twice.

use super::worker::{CHILDREN, collatz_steps};
use crate::{
    failure::{Failure, check},
    queries,
};
use origin_conductor::store::{EventFilter, Query};
use origin_conductor::{EventBody, FailureReason, RunId, State, TaskId};
use std::collections::HashSet;

/// Checks that no child was lost: each index from 1 to N has a child that SUCCEEDED with the right output. Returns the
/// ids of the children and the sum of their attempts.
pub(super) fn every_child_once(
    store: &(impl Query + ?Sized),
    parent: TaskId,
) -> Result<(HashSet<TaskId>, u64), Failure> {
    let mut children = HashSet::new();
    let (mut expected, mut attempts) = (1, 0);
    queries::each_child(store, parent, |child| {
        check("the index of the next child", child.index, expected)?;
        check(&format!("child {expected}"), child.state, State::Succeeded)?;
        let output: Option<u64> = child.output.map(|output| output.to()).transpose()?;
        let is_right = output == Some(collatz_steps(expected.into()));
        check(&format!("that child {expected} has the right output"), is_right, true)?;
        expected += 1;
        attempts += u64::from(child.attempt);
        children.insert(child.id);
        Ok(())
    })?;
    check("the number of children", children.len(), CHILDREN as usize)?;
    Ok((children, attempts))
}

/// Checks that no child was created twice: the index ranges of the fan-out events are contiguous.
pub(super) fn created_without_gap_or_overlap(
    store: &(impl Query + ?Sized),
    run: RunId,
) -> Result<(), Failure> {
    let mut expected = 1;
    queries::each_event(store, named("task.fanned_out", run), |event| {
        if let EventBody::TaskFannedOut { first, last, .. } = event.body {
            check("the first index of the next fan-out", first, expected)?;
            expected = last + 1;
        }
        Ok(())
    })?;
    check("the last index that was created", expected - 1, CHILDREN)
}

/// Checks that no child was settled twice: each child has exactly one event of success.
pub(super) fn every_success_once(
    store: &(impl Query + ?Sized),
    run: RunId,
    children: &HashSet<TaskId>,
) -> Result<(), Failure> {
    let mut succeeded = HashSet::new();
    let mut events = 0;
    queries::each_event(store, named("task.succeeded", run), |event| {
        events += 1;
        succeeded.extend(event.task);
        Ok(())
    })?;
    check("the number of successes", events, CHILDREN)?;
    check("that each child has one success", succeeded == *children, true)
}

/// Checks that attempts failed only because their process died; returns the number of failures.
pub(super) fn every_lost_attempt(store: &(impl Query + ?Sized), run: RunId) -> Result<u64, Failure> {
    let mut lost = 0;
    queries::each_event(store, named("task.failed", run), |event| {
        let is_lost = matches!(
            event.body,
            EventBody::TaskFailed { reason: FailureReason::LeaseExpired, due_at: Some(_), .. }
        );
        check("that a failed attempt was lost with its process and made again", is_lost, true)?;
        lost += 1;
        Ok(())
    })?;
    Ok(lost)
}

fn named(name: &'static str, run: RunId) -> EventFilter<'static> {
    EventFilter { run: Some(run), name: Some(name), ..EventFilter::default() }
}
