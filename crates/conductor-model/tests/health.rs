//! Health reports and retry metrics.

use conductor_model::{
    Health, HealthCounts, HealthReport, RetryMetrics, StateCounts, StateReason, StuckItem,
};
use proptest::prelude::*;

fn approx_eq(share: Option<f64>, expected: Option<f64>) -> bool {
    match (share, expected) {
        (Some(share), Some(expected)) => (share - expected).abs() < 1e-12,
        (share, expected) => share.is_none() && expected.is_none(),
    }
}

fn any_counts() -> impl Strategy<Value = HealthCounts> {
    let small = || 0_u64..4;
    let state_counts = (small(), small(), small(), small(), small()).prop_map(
        |(pending, running, succeeded, failed, cancelled)| StateCounts {
            pending,
            running,
            succeeded,
            failed,
            cancelled,
        },
    );
    (state_counts, small(), small(), small(), small(), small()).prop_map(
        |(state_counts, due, exhausted, retried_tasks, total_retries, stuck)| {
            let retries_due = due.min(state_counts.failed);
            let failed_leaves = exhausted.min(state_counts.failed - retries_due);
            HealthCounts {
                state_counts,
                retries_due,
                failed_leaves,
                retries_exhausted: exhausted,
                retried_tasks,
                total_retries,
                stuck,
            }
        },
    )
}

proptest! {
    #[test]
    fn health_follows_failures_retries_and_stuck_items(counts in any_counts()) {
        let report = HealthReport::of(counts);
        let expected = if counts.state_counts.failed > counts.retries_due {
            Health::Critical
        } else if counts.retries_due + counts.stuck > 0 {
            Health::Warning
        } else {
            Health::Healthy
        };
        prop_assert_eq!(report.health, expected);
        prop_assert!(expected == Health::Healthy || !report.warnings.is_empty());
        let json = serde_json::to_string(&report).unwrap();
        prop_assert_eq!(serde_json::from_str::<HealthReport>(&json).unwrap(), report);
    }

    #[test]
    fn rates_are_shares_of_settled_tasks(counts in any_counts()) {
        let report = HealthReport::of(counts);
        let settled = counts.state_counts.succeeded + counts.state_counts.failed - counts.retries_due + counts.state_counts.cancelled;
        prop_assert_eq!(report.success_rate.is_none(), settled == 0);
        if let (Some(success), Some(failure)) = (report.success_rate, report.failure_rate) {
            prop_assert!(success >= 0.0 && failure >= 0.0 && success + failure <= 1.0 + 1e-12);
        }
    }
}

#[test]
fn report_lists_problems_as_text() {
    let state_counts = StateCounts { succeeded: 6, failed: 3, cancelled: 1, running: 5, pending: 2 };
    let counts = HealthCounts {
        state_counts,
        retries_due: 1,
        failed_leaves: 1,
        retries_exhausted: 1,
        retried_tasks: 2,
        total_retries: 5,
        stuck: 1,
    };
    let report = HealthReport::of(counts);
    let expected = [
        "1 leaf failed permanently",
        "1 parent failed",
        "1 leaf has no retry left",
        "1 failed task waits for its retry",
        "1 run or task is stuck",
    ];
    assert_eq!(report.warnings, expected);
    assert!(approx_eq(report.success_rate, Some(6.0 / 9.0)));
    assert!(approx_eq(report.failure_rate, Some(2.0 / 9.0)));
    assert!(approx_eq(Some(report.average_retries), Some(2.5)));
    assert!(HealthReport::of(HealthCounts::default()).warnings.is_empty());
}

#[test]
fn retry_metrics_without_tasks_do_not_divide() {
    let none = RetryMetrics::of(0, 0, 0, 0);
    assert!(approx_eq(none.success_rate, None) && approx_eq(Some(none.average_retries), Some(0.0)));
    let some = RetryMetrics::of(6, 4, 3, 1);
    assert!(approx_eq(some.success_rate, Some(0.75)) && approx_eq(Some(some.average_retries), Some(1.5)));
}

#[test]
fn stuck_item_survives_json() {
    let (run, since) = (conductor_model::RunId::from_u128(1), conductor_model::Timestamp::MIN);
    let reasons = [
        StateReason::RunningExternally { since },
        StateReason::NoEngineForKind { kind: "resize".parse().unwrap(), since },
        StateReason::WaitingForAppend { children: 3, since },
        StateReason::ReadyToAggregate { since, engines: 0 },
        StateReason::Delayed { until: since, engines: Some(0) },
        StateReason::CreatingChildren { children: 0, total: 2, since, engines: 0 },
    ];
    for reason in reasons {
        assert!(!reason.to_string().is_empty());
        assert!(reason.needs_intervention());
        let stuck = StuckItem { run, task: None, reason, since };
        let json = serde_json::to_string(&stuck).unwrap();
        assert_eq!(serde_json::from_str::<StuckItem>(&json).unwrap(), stuck);
    }
    for engines in [None, Some(1)] {
        assert!(!StateReason::Delayed { until: since, engines }.needs_intervention());
    }
    assert_eq!(Health::Critical.to_string(), "CRITICAL");
    assert_eq!(serde_json::to_string(&Health::Warning).unwrap(), "\"WARNING\"");
}
