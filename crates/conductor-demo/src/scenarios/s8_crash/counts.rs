//! What shows that nothing is lost and nothing doubled: counts of rows and of events.

use super::CHILDREN;
use crate::{
    failure::{Failure, check},
    look,
};
use conductor_model::{EventBody, RunId, State, TaskId};
use conductor_store::{EventFilter, Query};
use std::collections::HashSet;

/// Nothing is lost: each index from 1 to N has its child, and each child has succeeded.
pub(super) fn every_child_once(store: &impl Query, parent: TaskId) -> Result<HashSet<TaskId>, Failure> {
    let mut children = HashSet::new();
    let mut expected = 1;
    look::each_child(store, parent, |child| {
        check("the index of the next child", child.index, expected)?;
        check(&format!("child {expected}"), child.state, State::Succeeded)?;
        expected += 1;
        children.insert(child.id);
        Ok(())
    })?;
    check("the number of children", children.len(), CHILDREN as usize)?;
    Ok(children)
}

/// Nothing is created twice: the index ranges of the fan-out's events follow one another.
pub(super) fn created_without_gap_or_overlap(store: &impl Query, run: RunId) -> Result<(), Failure> {
    let filter = EventFilter { run: Some(run), name: Some("task.fanned_out"), ..EventFilter::default() };
    let mut expected = 1;
    look::each_event(store, filter, |event| {
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
    store: &impl Query,
    run: RunId,
    children: &HashSet<TaskId>,
) -> Result<u64, Failure> {
    let filter = EventFilter { run: Some(run), name: Some("task.succeeded"), ..EventFilter::default() };
    let mut succeeded = HashSet::new();
    let mut events = 0;
    look::each_event(store, filter, |event| {
        events += 1;
        succeeded.extend(event.task);
        Ok(())
    })?;
    check("the number of successes", events, u64::from(CHILDREN))?;
    check("that each success is another child's", succeeded == *children, true)?;
    Ok(events)
}
