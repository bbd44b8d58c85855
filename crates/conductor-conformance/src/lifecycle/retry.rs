//! Retry: a failed task runs again when its retry is due, up to its limit.

use crate::Harness;
use conductor_model::{Backoff, DEFAULT_MAX_RETRIES, Jitter, MAX_BACKOFF_MS, State, TaskDraft, TaskId};
use conductor_store::{Report, ReportBatch, ReportedResult, Scope};
use serde_json::json;

/// How many milliseconds from now the retry of the task is due.
fn wait_ms(harness: &Harness<'_>, task: TaskId) -> u64 {
    harness.task(task).due_at.expect("retry has a due time").millis_since(harness.now())
}

/// Fails the task with a requested delay.
fn fail_with_delay(harness: &Harness<'_>, task: TaskId, retry_after_ms: u64) {
    let retry_after_ms = Some(retry_after_ms);
    let outcome = ReportedResult::Failed { error: "busy".into(), retryable: true, retry_after_ms };
    harness.apply(Report { task, attempt: None, result: outcome });
}

pub fn retry_makes_task_pending_and_counts(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    harness.apply(Report::failed(task, "no route to host"));
    harness.advance_ms(10);
    assert_eq!(harness.retry(), 1);
    let row = harness.task(task);
    assert_eq!((row.state, row.due_at, row.updated_at), (State::Pending, None, harness.now()));
    assert_eq!((row.retry_count, row.attempt), (1, 1));
    assert_eq!(row.last_error.expect("error is kept").as_str(), "no route to host");
}

pub fn retry_without_backoff_is_due_at_once(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    harness.fail(task);
    assert_eq!(wait_ms(harness, task), 0);
    assert_eq!(harness.retry(), 1);
}

pub fn retry_waits_for_due_time(harness: &Harness<'_>) {
    let backoff = Backoff::fixed(5000).expect("backoff is valid");
    let (_, task) = harness.submit_task(TaskDraft::new("A").backoff(backoff));
    for _ in 0..DEFAULT_MAX_RETRIES {
        harness.fail(task);
        assert_eq!(wait_ms(harness, task), 5000);
        harness.advance_ms(4999);
        assert_eq!(harness.writes_nothing(|| harness.retry()), 0);
        harness.advance_ms(1);
        assert_eq!(harness.retry(), 1);
    }
}

pub fn exponential_backoff_doubles_up_to_cap(harness: &Harness<'_>) {
    let backoff = Backoff::exponential(1000, 5000).expect("backoff is valid");
    let (_, task) = harness.submit_task(TaskDraft::new("A").backoff(backoff).max_retries(5));
    for expected in [1000, 2000, 4000, 5000, 5000] {
        harness.fail(task);
        assert_eq!(wait_ms(harness, task), expected);
        harness.advance_ms(5000);
        assert_eq!(harness.retry(), 1);
    }
}

pub fn jitter_shortens_delay_by_given_fraction(harness: &Harness<'_>) {
    let backoff = Backoff::exponential(10_000, 60_000)
        .and_then(|curve| curve.with_jitter(0.5))
        .expect("backoff is valid");
    let (_, roots) = harness.submit_tasks((0..8).map(|_| TaskDraft::new("A").backoff(backoff)));
    let jitter = Jitter(42);
    let reports = roots.iter().map(|task| Report::failed(*task, "it broke")).collect();
    harness.store().report(&ReportBatch { reports, now: harness.now(), jitter }).expect("report succeeds");
    let mut waits: Vec<_> = roots.iter().map(|task| wait_ms(harness, *task)).collect();
    for (task, wait) in roots.iter().zip(&waits) {
        assert_eq!(*wait, backoff.delay_ms(0, jitter.fraction(*task)));
        assert!((5000..=10_000).contains(wait), "{wait}");
    }
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 1, "tasks that fail together are retried at different times");
}

pub fn requested_delay_replaces_backoff(harness: &Harness<'_>) {
    let backoff = Backoff::fixed(5000).expect("backoff is valid");
    let (_, roots) = harness.submit_tasks(["A", "B"].map(|name| TaskDraft::new(name).backoff(backoff)));
    fail_with_delay(harness, roots[0], 90_000);
    fail_with_delay(harness, roots[1], 0);
    assert_eq!((wait_ms(harness, roots[0]), wait_ms(harness, roots[1])), (90_000, 0));
}

pub fn delay_is_capped_at_seven_days(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    fail_with_delay(harness, task, u64::MAX);
    assert_eq!(wait_ms(harness, task), MAX_BACKOFF_MS);
    assert_eq!(harness.retry(), 0, "the retry is not due yet");
}

pub fn non_retryable_failure_is_final(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    harness.fail_permanently(task);
    let row = harness.task(task);
    assert_eq!((row.state, row.due_at, row.retry_count), (State::Failed, None, 0));
    assert_eq!(harness.writes_nothing(|| harness.retry()), 0);
}

pub fn task_is_retried_up_to_max_retries(harness: &Harness<'_>) {
    let (run, task) = harness.submit_task(TaskDraft::new("A").max_retries(2));
    for retried in 1..=2 {
        harness.fail(task);
        assert_eq!(harness.retry(), 1);
        assert_eq!(harness.task(task).retry_count, retried);
    }
    harness.fail(task);
    let row = harness.task(task);
    assert_eq!((row.state, row.due_at, row.retry_count, row.attempt), (State::Failed, None, 2, 3));
    assert_eq!(harness.writes_nothing(|| harness.retry()), 0);
    assert_eq!(harness.aggregate(), (0, 1));
    assert_eq!(harness.run_state(run), State::Failed);
}

pub fn task_without_retries_fails_at_once(harness: &Harness<'_>) {
    let (_, task) = harness.submit_task(TaskDraft::new("A").max_retries(0));
    harness.fail(task);
    assert_eq!(harness.task(task).due_at, None);
    assert_eq!(harness.writes_nothing(|| harness.retry()), 0);
}

pub fn retry_far_ahead_after_clock_jump_is_due(harness: &Harness<'_>) {
    let backoff = Backoff::fixed(1000).expect("backoff is valid");
    let (_, task) = harness.submit_task(TaskDraft::new("A").backoff(backoff));
    let years = 10 * 365 * 24 * 60 * 60 * 1000;
    harness.advance_ms(years);
    harness.fail(task);
    harness.advance_ms(-years);
    assert_eq!(harness.retry(), 1);
    assert_eq!(harness.state(task), State::Pending);
}

pub fn retry_seven_days_ahead_is_not_clock_jump(harness: &Harness<'_>) {
    let backoff = Backoff::fixed(MAX_BACKOFF_MS).expect("backoff is valid");
    let (_, task) = harness.submit_task(TaskDraft::new("A").backoff(backoff));
    harness.fail(task);
    assert_eq!(harness.writes_nothing(|| harness.retry()), 0);
    harness.advance_ms(-1);
    assert_eq!(harness.retry(), 1, "the retry is now further ahead than the longest backoff");
}

pub fn step_retries_at_most_its_limit(harness: &Harness<'_>) {
    let (_, _, children) = harness.family(5);
    for child in &children {
        harness.fail(*child);
    }
    let done = harness.retry_step(&harness.bounded_step(Scope::All, 2));
    assert_eq!((done.changed, done.more), (2, true));
    let done = harness.retry_step(&harness.bounded_step(Scope::All, 0));
    assert_eq!((done.changed, done.more), (1, true), "a limit of 0 counts as 1");
    let done = harness.retry_step(&harness.bounded_step(Scope::All, 100));
    assert_eq!((done.changed, done.more), (2, false));
}

pub fn step_retries_longest_due_first(harness: &Harness<'_>) {
    let (_, roots) = harness.submit_tasks((0..3).map(|_| TaskDraft::new("A")));
    for (task, delay) in roots.iter().zip([3000, 1000, 2000]) {
        fail_with_delay(harness, *task, delay);
    }
    harness.advance_ms(3000);
    for task in [roots[1], roots[2], roots[0]] {
        assert_eq!(harness.state(task), State::Failed);
        let done = harness.retry_step(&harness.bounded_step(Scope::All, 1));
        assert_eq!((done.changed, harness.state(task)), (1, State::Pending));
    }
}

pub fn scope_of_one_run_excludes_others(harness: &Harness<'_>) {
    let ((one, task), (_, other)) = (harness.submit_leaf(), harness.submit_leaf());
    harness.fail(task);
    harness.fail(other);
    let scope = harness.bounded_step(Scope::Run(one), 100);
    assert_eq!((harness.retry_step(&scope).changed, harness.retry_step(&scope).changed), (1, 0));
    assert_eq!((harness.state(task), harness.state(other)), (State::Pending, State::Failed));
}

pub fn siblings_are_retried_independently(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_task(TaskDraft::new("P").max_retries(1).input(json!({"fanout": 2})));
    harness.fan_out();
    let children = harness.children(parent);
    harness.fail(children[0].id);
    assert_eq!(harness.retry(), 1);
    harness.fail(children[0].id);
    harness.fail(children[1].id);
    assert_eq!(harness.retry(), 1);
    let counts: Vec<_> =
        harness.children(parent).iter().map(|child| (child.state, child.retry_count)).collect();
    assert_eq!(counts, [(State::Failed, 1), (State::Pending, 1)]);
}
