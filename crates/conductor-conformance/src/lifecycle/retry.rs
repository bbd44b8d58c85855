//! Retry: when it is due, within its limit.

use crate::World;
use conductor_model::{Backoff, DEFAULT_MAX_RETRIES, Jitter, MAX_BACKOFF_MS, State, TaskDraft, TaskId};
use conductor_store::{Report, ReportBatch, ReportedResult, Scope};
use serde_json::json;

/// How many milliseconds from now the task's retry is due.
fn wait_ms(world: &World<'_>, task: TaskId) -> u64 {
    world.task(task).due_at.expect("a retry that is due").millis_since(world.now())
}

/// Fails the task, asking for a wait of its own.
fn fail_asking(world: &World<'_>, task: TaskId, retry_after_ms: u64) {
    let retry_after_ms = Some(retry_after_ms);
    let outcome = ReportedResult::Failed { error: "busy".into(), retryable: true, retry_after_ms };
    world.apply(Report { task, attempt: None, result: outcome });
}

pub fn retry_makes_task_pending_and_counts(world: &World<'_>) {
    let (_, task) = world.leaf();
    world.apply(Report::failed(task, "no route to host"));
    world.pass_ms(10);
    assert_eq!(world.retry(), 1);
    let row = world.task(task);
    assert_eq!((row.state, row.due_at, row.updated_at), (State::Pending, None, world.now()));
    assert_eq!((row.retry_count, row.attempt), (1, 1));
    assert_eq!(row.last_error.expect("the error is kept").as_str(), "no route to host");
}

pub fn retry_without_backoff_is_due_at_once(world: &World<'_>) {
    let (_, task) = world.leaf();
    world.fail(task);
    assert_eq!(wait_ms(world, task), 0);
    assert_eq!(world.retry(), 1);
}

pub fn retry_waits_for_due_time(world: &World<'_>) {
    let backoff = Backoff::fixed(5000).expect("a backoff");
    let (_, task) = world.one(TaskDraft::new("A").backoff(backoff));
    for _ in 0..DEFAULT_MAX_RETRIES {
        world.fail(task);
        assert_eq!(wait_ms(world, task), 5000);
        world.pass_ms(4999);
        assert_eq!(world.writes_nothing(|| world.retry()), 0);
        world.pass_ms(1);
        assert_eq!(world.retry(), 1);
    }
}

pub fn exponential_backoff_doubles_up_to_cap(world: &World<'_>) {
    let backoff = Backoff::exponential(1000, 5000).expect("a backoff");
    let (_, task) = world.one(TaskDraft::new("A").backoff(backoff).max_retries(5));
    for expected in [1000, 2000, 4000, 5000, 5000] {
        world.fail(task);
        assert_eq!(wait_ms(world, task), expected);
        world.pass_ms(5000);
        assert_eq!(world.retry(), 1);
    }
}

pub fn jitter_shortens_delay_by_given_fraction(world: &World<'_>) {
    let backoff = Backoff::exponential(10_000, 60_000).and_then(|curve| curve.with_jitter(0.5)).expect("one");
    let (_, roots) = world.run_of((0..8).map(|_| TaskDraft::new("A").backoff(backoff)));
    let jitter = Jitter(42);
    let reports = roots.iter().map(|task| Report::failed(*task, "it broke")).collect();
    world.store().report(&ReportBatch { reports, now: world.now(), jitter }).expect("answers");
    let mut waits: Vec<_> = roots.iter().map(|task| wait_ms(world, *task)).collect();
    for (task, wait) in roots.iter().zip(&waits) {
        assert_eq!(*wait, backoff.delay_ms(0, jitter.fraction(*task)));
        assert!((5000..=10_000).contains(wait), "{wait}");
    }
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 1, "what failed together does not come back together");
}

pub fn requested_delay_replaces_backoff(world: &World<'_>) {
    let backoff = Backoff::fixed(5000).expect("a backoff");
    let (_, roots) = world.run_of(["A", "B"].map(|name| TaskDraft::new(name).backoff(backoff)));
    fail_asking(world, roots[0], 90_000);
    fail_asking(world, roots[1], 0);
    assert_eq!((wait_ms(world, roots[0]), wait_ms(world, roots[1])), (90_000, 0));
}

pub fn delay_is_capped_at_seven_days(world: &World<'_>) {
    let (_, task) = world.leaf();
    fail_asking(world, task, u64::MAX);
    assert_eq!(wait_ms(world, task), MAX_BACKOFF_MS);
    assert_eq!(world.retry(), 0, "it waits for its time");
}

pub fn non_retryable_failure_is_final(world: &World<'_>) {
    let (_, task) = world.leaf();
    world.fail_for_good(task);
    let row = world.task(task);
    assert_eq!((row.state, row.due_at, row.retry_count), (State::Failed, None, 0));
    assert_eq!(world.writes_nothing(|| world.retry()), 0);
}

pub fn task_is_retried_up_to_max_retries(world: &World<'_>) {
    let (run, task) = world.one(TaskDraft::new("A").max_retries(2));
    for retried in 1..=2 {
        world.fail(task);
        assert_eq!(world.retry(), 1);
        assert_eq!(world.task(task).retry_count, retried);
    }
    world.fail(task);
    let row = world.task(task);
    assert_eq!((row.state, row.due_at, row.retry_count, row.attempt), (State::Failed, None, 2, 3));
    assert_eq!(world.writes_nothing(|| world.retry()), 0);
    assert_eq!(world.aggregate(), (0, 1));
    assert_eq!(world.run_state(run), State::Failed);
}

pub fn task_without_retries_fails_at_once(world: &World<'_>) {
    let (_, task) = world.one(TaskDraft::new("A").max_retries(0));
    world.fail(task);
    assert_eq!(world.task(task).due_at, None);
    assert_eq!(world.writes_nothing(|| world.retry()), 0);
}

pub fn retry_far_ahead_after_clock_jump_is_due(world: &World<'_>) {
    let backoff = Backoff::fixed(1000).expect("a backoff");
    let (_, task) = world.one(TaskDraft::new("A").backoff(backoff));
    let years = 10 * 365 * 24 * 60 * 60 * 1000;
    world.pass_ms(years);
    world.fail(task);
    world.pass_ms(-years);
    assert_eq!(world.retry(), 1);
    assert_eq!(world.state(task), State::Pending);
}

pub fn retry_seven_days_ahead_is_not_clock_jump(world: &World<'_>) {
    let backoff = Backoff::fixed(MAX_BACKOFF_MS).expect("a backoff");
    let (_, task) = world.one(TaskDraft::new("A").backoff(backoff));
    world.fail(task);
    assert_eq!(world.writes_nothing(|| world.retry()), 0);
    world.pass_ms(-1);
    assert_eq!(world.retry(), 1, "now it is further ahead than any backoff reaches");
}

pub fn step_retries_at_most_its_limit(world: &World<'_>) {
    let (_, _, children) = world.family(5);
    for child in &children {
        world.fail(*child);
    }
    let done = world.retry_step(&world.step_of(Scope::All, 2));
    assert_eq!((done.changed, done.more), (2, true));
    let done = world.retry_step(&world.step_of(Scope::All, 0));
    assert_eq!((done.changed, done.more), (1, true), "a limit of 0 counts as 1");
    let done = world.retry_step(&world.step_of(Scope::All, 100));
    assert_eq!((done.changed, done.more), (2, false));
}

pub fn scope_of_one_run_excludes_others(world: &World<'_>) {
    let ((one, its), (_, other)) = (world.leaf(), world.leaf());
    world.fail(its);
    world.fail(other);
    let scope = world.step_of(Scope::Run(one), 100);
    assert_eq!((world.retry_step(&scope).changed, world.retry_step(&scope).changed), (1, 0));
    assert_eq!((world.state(its), world.state(other)), (State::Pending, State::Failed));
}

pub fn siblings_are_retried_independently(world: &World<'_>) {
    let (_, parent) = world.one(TaskDraft::new("P").max_retries(1).input(json!({"fanout": 2})));
    world.fan_out();
    let children = world.children(parent);
    world.fail(children[0].id);
    assert_eq!(world.retry(), 1);
    world.fail(children[0].id);
    world.fail(children[1].id);
    assert_eq!(world.retry(), 1);
    let counts: Vec<_> =
        world.children(parent).iter().map(|child| (child.state, child.retry_count)).collect();
    assert_eq!(counts, [(State::Failed, 1), (State::Pending, 1)]);
}
