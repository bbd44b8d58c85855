//! Promote: delayed tasks become ready when they are due.

use crate::Harness;
use conductor_model::{State, TaskDraft};
use conductor_store::Scope;

pub fn delayed_task_is_not_ready_before_due_time(harness: &Harness<'_>) {
    let due = harness.now().plus_millis(1000);
    let (run, task) = harness.submit_task(TaskDraft::new("A").due_at(due));
    harness.advance_ms(999);
    assert_eq!(harness.writes_nothing(|| harness.promote()), 0);
    assert_eq!(harness.task(task).due_at, Some(due));
    harness.advance_ms(1);
    let seen = harness.events().len();
    assert_eq!(harness.promote(), 1);
    let row = harness.task(task);
    assert_eq!((row.state, row.due_at, row.updated_at), (State::Pending, None, harness.now()));
    assert_eq!(harness.run_state(run), State::Pending);
    assert!(harness.event_names(seen).is_empty(), "the state stays PENDING");
    assert_eq!(harness.writes_nothing(|| harness.promote()), 0);
}

pub fn task_due_in_past_is_promoted_at_once(harness: &Harness<'_>) {
    let (_, task) = harness.submit_task(TaskDraft::new("A").due_at(harness.now().minus_millis(1)));
    assert_eq!(harness.promote(), 1);
    assert_eq!(harness.task(task).due_at, None);
}

pub fn failure_awaiting_retry_is_not_promoted(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    harness.fail(task);
    assert_eq!(harness.writes_nothing(|| harness.promote()), 0);
    assert_eq!(harness.state(task), State::Failed);
}

pub fn delayed_task_is_not_retried(harness: &Harness<'_>) {
    harness.submit_task(TaskDraft::new("A").due_at(harness.now()));
    assert_eq!(harness.writes_nothing(|| harness.retry()), 0);
}

pub fn step_promotes_at_most_its_limit(harness: &Harness<'_>) {
    harness.submit_tasks((0..5).map(|_| TaskDraft::new("A").due_at(harness.now())));
    let done = harness.promote_step(&harness.bounded_step(Scope::All, 2));
    assert_eq!((done.changed, done.more), (2, true));
    let done = harness.promote_step(&harness.bounded_step(Scope::All, 0));
    assert_eq!((done.changed, done.more), (1, true), "a limit of 0 counts as 1");
    let done = harness.promote_step(&harness.bounded_step(Scope::All, 100));
    assert_eq!((done.changed, done.more), (2, false));
}

pub fn step_promotes_longest_due_first(harness: &Harness<'_>) {
    let due = [3000, 1000, 2000].map(|ms| harness.now().plus_millis(ms));
    let (_, roots) = harness.submit_tasks(due.map(|due| TaskDraft::new("A").due_at(due)));
    harness.advance_ms(3000);
    for task in [roots[1], roots[2], roots[0]] {
        assert_ne!(harness.task(task).due_at, None);
        let done = harness.promote_step(&harness.bounded_step(Scope::All, 1));
        assert_eq!((done.changed, harness.task(task).due_at), (1, None));
    }
}

pub fn scope_of_one_run_excludes_others(harness: &Harness<'_>) {
    let delayed = || TaskDraft::new("A").due_at(harness.now());
    let ((one, task), (_, other)) = (harness.submit_task(delayed()), harness.submit_task(delayed()));
    let scope = harness.bounded_step(Scope::Run(one), 100);
    assert_eq!((harness.promote_step(&scope).changed, harness.promote_step(&scope).changed), (1, 0));
    assert_eq!((harness.task(task).due_at, harness.task(other).due_at), (None, Some(harness.now())));
}
