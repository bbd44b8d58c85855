//! What shows that nothing is lost and nothing doubled: counts of rows and of events.

use super::{CHILDREN, worker::steps_to_one};
use crate::{
    failure::{Failure, check},
    look,
};
use conductor_model::{EventBody, FailureReason, RunId, State, TaskId};
use conductor_store::{EventFilter, Query};
use std::collections::HashSet;

/// Nothing is lost: each index from 1 to N has its child, and each child has succeeded with the right output. Says which
/// they are, and how many attempts were made at all of them.
pub(super) fn every_child_once(
    store: &(impl Query + ?Sized),
    parent: TaskId,
) -> Result<(HashSet<TaskId>, u64), Failure> {
    let mut children = HashSet::new();
    let (mut expected, mut attempts) = (1, 0);
    look::each_child(store, parent, |child| {
        check("the index of the next child", child.index, expected)?;
        check(&format!("child {expected}"), child.state, State::Succeeded)?;
        let output: Option<u64> = child.output.map(|output| output.to()).transpose()?;
        let is_right = output == Some(steps_to_one(expected.into()));
        check(&format!("that child {expected} has the right output"), is_right, true)?;
        expected += 1;
        attempts += u64::from(child.attempt);
        children.insert(child.id);
        Ok(())
    })?;
    check("the number of children", children.len(), CHILDREN as usize)?;
    Ok((children, attempts))
}

/// Nothing is created twice: the index ranges of the fan-out's events follow one another.
pub(super) fn created_without_gap_or_overlap(
    store: &(impl Query + ?Sized),
    run: RunId,
) -> Result<(), Failure> {
    let mut expected = 1;
    look::each_event(store, named("task.fanned_out", run), |event| {
        if let EventBody::TaskFannedOut { first, last, .. } = event.body {
            check("the first index of the next fan-out", first, expected)?;
            expected = last + 1;
        }
        Ok(())
    })?;
    check("the last index that was created", expected - 1, CHILDREN)
}

/// Nothing is settled twice: there is one success for each child.
pub(super) fn every_success_once(
    store: &(impl Query + ?Sized),
    run: RunId,
    children: &HashSet<TaskId>,
) -> Result<(), Failure> {
    let mut succeeded = HashSet::new();
    let mut events = 0;
    look::each_event(store, named("task.succeeded", run), |event| {
        events += 1;
        succeeded.extend(event.task);
        Ok(())
    })?;
    check("the number of successes", events, CHILDREN)?;
    check("that each success is another child's", succeeded == *children, true)
}

/// Attempts failed because their process died, and for no other reason; how many.
pub(super) fn every_lost_attempt(store: &(impl Query + ?Sized), run: RunId) -> Result<u64, Failure> {
    let mut lost = 0;
    look::each_event(store, named("task.failed", run), |event| {
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
