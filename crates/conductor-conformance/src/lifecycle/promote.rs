//! Promote: delayed tasks become ready when they are due.

use crate::World;
use conductor_model::{State, TaskDraft};
use conductor_store::Scope;

pub fn delayed_task_is_not_ready_before_due_time(world: &World<'_>) {
    let due = world.now().plus_millis(1000);
    let (run, task) = world.one(TaskDraft::new("A").due_at(due));
    world.pass_ms(999);
    assert_eq!(world.writes_nothing(|| world.promote()), 0);
    assert_eq!(world.task(task).due_at, Some(due));
    world.pass_ms(1);
    let seen = world.events().len();
    assert_eq!(world.promote(), 1);
    let row = world.task(task);
    assert_eq!((row.state, row.due_at, row.updated_at), (State::Pending, None, world.now()));
    assert_eq!(world.run_state(run), State::Pending);
    assert!(world.event_names(seen).is_empty(), "PENDING it was and PENDING it is");
    assert_eq!(world.writes_nothing(|| world.promote()), 0);
}

pub fn task_due_in_past_is_promoted_at_once(world: &World<'_>) {
    let (_, task) = world.one(TaskDraft::new("A").due_at(world.now().minus_millis(1)));
    assert_eq!(world.promote(), 1);
    assert_eq!(world.task(task).due_at, None);
}

pub fn failure_awaiting_retry_is_not_promoted(world: &World<'_>) {
    let (_, task) = world.leaf();
    world.fail(task);
    assert_eq!(world.writes_nothing(|| world.promote()), 0);
    assert_eq!(world.state(task), State::Failed);
}

pub fn delayed_task_is_not_retried(world: &World<'_>) {
    world.one(TaskDraft::new("A").due_at(world.now()));
    assert_eq!(world.writes_nothing(|| world.retry()), 0);
}

pub fn step_promotes_at_most_its_limit(world: &World<'_>) {
    world.run_of((0..5).map(|_| TaskDraft::new("A").due_at(world.now())));
    let done = world.promote_step(&world.step_of(Scope::All, 2));
    assert_eq!((done.changed, done.more), (2, true));
    let done = world.promote_step(&world.step_of(Scope::All, 0));
    assert_eq!((done.changed, done.more), (1, true), "a limit of 0 counts as 1");
    let done = world.promote_step(&world.step_of(Scope::All, 100));
    assert_eq!((done.changed, done.more), (2, false));
}

pub fn scope_of_one_run_excludes_others(world: &World<'_>) {
    let delayed = || TaskDraft::new("A").due_at(world.now());
    let ((one, its), (_, other)) = (world.one(delayed()), world.one(delayed()));
    let scope = world.step_of(Scope::Run(one), 100);
    assert_eq!((world.promote_step(&scope).changed, world.promote_step(&scope).changed), (1, 0));
    assert_eq!((world.task(its).due_at, world.task(other).due_at), (None, Some(world.now())));
}
