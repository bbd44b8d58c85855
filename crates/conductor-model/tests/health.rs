//! What the numbers say of a run's health.

use conductor_model::{
    Health, HealthCounts, HealthReport, RetryMetrics, StateCounts, StateReason, StuckItem,
};
use proptest::prelude::*;

fn close(share: Option<f64>, expected: Option<f64>) -> bool {
    match (share, expected) {
        (Some(share), Some(expected)) => (share - expected).abs() < 1e-12,
        (share, expected) => share.is_none() && expected.is_none(),
    }
}

fn counts() -> impl Strategy<Value = HealthCounts> {
    let few = || 0_u64..4;
    let tally =
        (few(), few(), few(), few(), few()).prop_map(|(pending, running, succeeded, failed, cancelled)| {
            StateCounts { pending, running, succeeded, failed, cancelled }
        });
    (tally, few(), few(), few(), few(), few()).prop_map(
        |(tally, due, exhausted, retried_tasks, total_retries, stuck)| {
            let retries_due = due.min(tally.failed);
            let failed_leaves = exhausted.min(tally.failed - retries_due);
            HealthCounts {
                state_counts: tally,
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
    fn a_final_failure_is_critical_and_something_that_waits_or_is_stuck_a_warning(counts in counts()) {
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
    fn rates_are_shares_of_what_is_settled(counts in counts()) {
        let report = HealthReport::of(counts);
        let settled = counts.state_counts.succeeded + counts.state_counts.failed - counts.retries_due + counts.state_counts.cancelled;
        prop_assert_eq!(report.success_rate.is_none(), settled == 0);
        if let (Some(success), Some(failure)) = (report.success_rate, report.failure_rate) {
            prop_assert!(success >= 0.0 && failure >= 0.0 && success + failure <= 1.0 + 1e-12);
        }
    }
}

#[test]
fn a_report_says_in_words_what_is_wrong() {
    let tally = StateCounts { succeeded: 6, failed: 3, cancelled: 1, running: 5, pending: 2 };
    let counts = HealthCounts {
        state_counts: tally,
        retries_due: 1,
        failed_leaves: 1,
        retries_exhausted: 1,
        retried_tasks: 2,
        total_retries: 5,
        stuck: 1,
    };
    let report = HealthReport::of(counts);
    let expected = [
        "1 leaf failed for good",
        "1 parent failed",
        "1 of them has no retry left",
        "1 failed task waits for its retry",
        "1 thing is stuck",
    ];
    assert_eq!(report.warnings, expected);
    assert!(close(report.success_rate, Some(6.0 / 9.0)));
    assert!(close(report.failure_rate, Some(2.0 / 9.0)));
    assert!(close(Some(report.average_retries), Some(2.5)));
    assert!(HealthReport::of(HealthCounts::default()).warnings.is_empty());
}

#[test]
fn retry_metrics_of_nothing_are_no_division_by_nothing() {
    let none = RetryMetrics::of(0, 0, 0, 0);
    assert!(close(none.success_rate, None) && close(Some(none.average_retries), Some(0.0)));
    let some = RetryMetrics::of(6, 4, 3, 1);
    assert!(close(some.success_rate, Some(0.75)) && close(Some(some.average_retries), Some(1.5)));
}

#[test]
fn what_is_stuck_is_written_and_read() {
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
