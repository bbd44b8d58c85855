//! Monitoring: health, retry metrics, and the summary of a run.

use crate::Harness;
use conductor_model::{Health, HealthReport, RetryMetrics, RunId, StateCounts, TaskDraft};
use conductor_store::{Scope, StoreError};
use serde_json::json;

pub(crate) const MINUTE_MS: i64 = 60_000;

pub(crate) fn health(harness: &Harness<'_>, scope: Scope) -> HealthReport {
    harness.store().health(scope, harness.stuck_threshold()).expect("query succeeds")
}

fn overall_health(harness: &Harness<'_>) -> Health {
    health(harness, Scope::All).health
}

pub fn empty_store_is_healthy(harness: &Harness<'_>) {
    let report = health(harness, Scope::All);
    assert_eq!((report.health, report.success_rate, report.failure_rate), (Health::Healthy, None, None));
    assert!(report.warnings.is_empty() && report.average_retries == 0.0);
}

pub fn running_or_successful_run_is_healthy(harness: &Harness<'_>) {
    let (run, _, children) = harness.family(2);
    assert_eq!(overall_health(harness), Health::Healthy);
    for child in &children {
        harness.start(*child);
    }
    assert_eq!(overall_health(harness), Health::Healthy);
    for child in &children {
        harness.succeed(*child);
    }
    harness.run_all_steps();
    harness.advance_ms(60 * MINUTE_MS);
    let report = health(harness, Scope::Run(run));
    assert_eq!(
        (report.health, report.success_rate, report.failure_rate),
        (Health::Healthy, Some(1.0), Some(0.0))
    );
    assert!(report.warnings.is_empty());
}

pub fn cancelled_task_is_healthy(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    harness.report_cancelled(task);
    harness.run_all_steps();
    let report = health(harness, Scope::All);
    assert_eq!(
        (report.health, report.success_rate, report.failure_rate),
        (Health::Healthy, Some(0.0), Some(0.0))
    );
}

pub fn failure_awaiting_retry_is_warning(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    harness.fail(task);
    let report = health(harness, Scope::All);
    assert_eq!((report.health, report.counts.retries_due), (Health::Warning, 1));
    assert_eq!((report.counts.retries_exhausted, report.failure_rate), (0, None), "the task is not settled");
    assert_eq!(report.warnings.len(), 1);
    harness.retry();
    assert_eq!(overall_health(harness), Health::Healthy);
}

pub fn stuck_task_is_warning(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    harness.start(task);
    harness.advance_ms(6 * MINUTE_MS);
    let report = health(harness, Scope::All);
    assert_eq!((report.health, report.counts.stuck, report.warnings.len()), (Health::Warning, 1, 1));
}

pub fn final_failure_is_critical(harness: &Harness<'_>) {
    let (_, roots) = harness.submit_tasks(["A", "B", "C", "D"].map(TaskDraft::new));
    harness.fail_permanently(roots[0]);
    harness.fail(roots[1]);
    harness.succeed(roots[2]);
    let report = health(harness, Scope::All);
    assert_eq!((report.health, report.counts.retries_due), (Health::Critical, 1));
    assert_eq!((report.success_rate, report.failure_rate), (Some(0.5), Some(0.5)));
    assert_eq!(report.warnings.len(), 2, "{:?}", report.warnings);
}

pub fn health_counts_tasks_and_retries(harness: &Harness<'_>) {
    let (run, roots) = harness.submit_tasks(["A", "B", "C"].map(|name| TaskDraft::new(name).max_retries(2)));
    for task in [roots[0], roots[1], roots[1]] {
        harness.fail(task);
        assert_eq!(harness.retry(), 1);
    }
    harness.fail(roots[1]);
    let report = health(harness, Scope::Run(run));
    assert_eq!(report.counts.state_counts, StateCounts { pending: 2, failed: 1, ..StateCounts::default() });
    assert_eq!((report.counts.retried_tasks, report.counts.total_retries), (2, 3));
    assert_eq!((report.counts.retries_exhausted, report.counts.retries_due), (1, 0));
    assert!((report.average_retries - 1.5).abs() < f64::EPSILON);
}

pub fn health_covers_one_run_or_all(harness: &Harness<'_>) {
    let ((good, _), (bad, task)) = (harness.submit_leaf(), harness.submit_leaf());
    harness.fail_permanently(task);
    assert_eq!(health(harness, Scope::Run(good)).health, Health::Healthy);
    assert_eq!(health(harness, Scope::Run(bad)).health, Health::Critical);
    assert_eq!(overall_health(harness), Health::Critical);
    let unknown = Scope::Run(RunId::from_u128(1));
    let rejected = [
        harness.store().health(unknown, harness.stuck_threshold()).map(|_| ()),
        harness.store().stuck(unknown, harness.stuck_threshold(), 10).map(|_| ()),
        harness.store().retry_metrics(unknown).map(|_| ()),
    ];
    assert!(
        rejected.iter().all(|refusal| matches!(refusal, Err(StoreError::RunNotFound(_)))),
        "{rejected:?}"
    );
}

pub fn retry_metrics_count_outcomes(harness: &Harness<'_>) {
    let (run, roots) =
        harness.submit_tasks(["A", "B", "C", "D"].map(|name| TaskDraft::new(name).max_retries(2)));
    let (_, other) = harness.submit_leaf();
    let fail_and_retry = |task| {
        harness.fail(task);
        assert_eq!(harness.retry(), 1);
    };
    // A succeeds after one retry, B uses up both retries, C waits after one retry, D needs no retry.
    [roots[0], roots[1], roots[1], roots[2], other].into_iter().for_each(fail_and_retry);
    harness.succeed(roots[0]);
    harness.fail(roots[1]);
    harness.succeed(roots[3]);
    let metrics = |scope| harness.store().retry_metrics(scope).expect("query succeeds");
    assert_eq!(metrics(Scope::Run(run)), RetryMetrics::of(4, 3, 1, 1));
    assert_eq!(metrics(Scope::All), RetryMetrics::of(5, 4, 1, 1));
    let counts = health(harness, Scope::Run(run)).counts;
    assert_eq!((counts.total_retries, counts.retried_tasks, counts.retries_exhausted), (4, 3, 1));
}

pub fn summary_describes_one_run(harness: &Harness<'_>) {
    let (run, roots) =
        harness.submit_tasks([TaskDraft::new("P").input(json!({"fanout": 4})), TaskDraft::new("A")]);
    harness.submit_leaf();
    while harness.fan_out_step(Scope::Run(run), 2).more {}
    harness.fail(roots[1]);
    harness.retry();
    harness.advance_ms(5000);
    let summary = || {
        harness
            .store()
            .summary(run, harness.stuck_threshold())
            .expect("query succeeds")
            .expect("query succeeds")
    };
    let now = summary();
    assert_eq!((now.run, now.state), (run, harness.run_state(run)));
    assert_eq!((now.duration_ms, now.state_counts), (5000, harness.run(run).state_counts));
    assert_eq!((now.fan_outs, now.retries, now.aggregates), (2, 1, 0));
    for leaf in harness.tasks(run).into_iter().filter(|task| task.child_counts.is_none()) {
        harness.succeed(leaf.id);
    }
    harness.run_all_steps();
    harness.advance_ms(60 * MINUTE_MS);
    let end = summary();
    assert_eq!((end.state, end.duration_ms, end.aggregates), (harness.run_state(run), 5000, 2));
    let events = harness.events().iter().filter(|event| event.run == run).count();
    assert_eq!(end.events, events as u64);
}

pub fn unknown_run_has_no_summary(harness: &Harness<'_>) {
    harness.submit_leaf();
    assert_eq!(
        harness.store().summary(RunId::from_u128(1), harness.stuck_threshold()).expect("query succeeds"),
        None
    );
}
