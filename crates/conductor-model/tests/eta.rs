//! Estimates of when a run settles.

use conductor_model::{ErrorText, Eta, EventBody, FailureReason, RecentEvent, State, Timestamp};
use proptest::prelude::*;

const NOW: i64 = 1_772_366_400_000;

fn at(before_now_ms: i64) -> Timestamp {
    Timestamp::from_millis(NOW - before_now_ms).unwrap()
}

fn settled(before_now_ms: i64) -> RecentEvent {
    RecentEvent { at: at(before_now_ms), settled: true }
}

fn started(before_now_ms: i64) -> RecentEvent {
    RecentEvent { at: at(before_now_ms), settled: false }
}

#[test]
fn throughput_counts_tasks_settled_after_first_event() {
    let recent = [started(10_000), settled(8000), started(8000), settled(4000), settled(1000)];
    let eta = Eta::of(6, &recent, at(0));
    assert_eq!((eta.remaining, eta.per_second, eta.at), (6, 0.3, Some(at(-20_000))));
}

#[test]
fn tasks_settled_at_first_event_do_not_count() {
    // One transaction settled many tasks, and the events begin in its middle.
    let mut recent = vec![settled(2000); 500];
    recent.extend([settled(1000); 4]);
    assert_eq!(Eta::of(10, &recent, at(0)).at, Some(at(-5000)), "two per second");
    assert_eq!(Eta::of(10, &[settled(2000); 500], at(0)).at, None, "the time before is unknown");
}

#[test]
fn nothing_settled_recently_gives_no_estimate() {
    let nothing = Eta { remaining: 5, per_second: 0.0, at: None };
    assert_eq!(Eta::of(5, &[], at(0)), nothing);
    assert_eq!(Eta::of(5, &[started(3000), started(1000)], at(0)), nothing);
    let hour = i64::try_from(Eta::WINDOW_MS).unwrap();
    assert_eq!(Eta::of(5, &[started(hour + 2), settled(hour + 1)], at(0)), nothing);
}

#[test]
fn events_before_window_are_ignored() {
    let day = 24 * 60 * 60 * 1000;
    let recent = [settled(day), started(10_000), settled(5000)];
    assert_eq!(Eta::of(1, &recent, at(0)).at, Some(at(-10_000)));
}

#[test]
fn nothing_remaining_gives_no_estimate() {
    let eta = Eta::of(0, &[started(1000), settled(500)], at(0));
    assert_eq!((eta.remaining, eta.per_second, eta.at), (0, 1.0, None));
}

#[test]
fn only_settling_events_count() {
    let failed =
        |due_at| EventBody::TaskFailed { reason: FailureReason::Error, error: ErrorText::from("no"), due_at };
    let settling = [
        EventBody::TaskSucceeded,
        EventBody::TaskCancelled { reason: None },
        EventBody::TaskAggregated { state: State::Failed },
        failed(None),
    ];
    assert!(settling.iter().all(EventBody::settles_task));
    let others = [
        EventBody::TaskStarted,
        EventBody::TaskRetried,
        EventBody::TaskReleased,
        EventBody::RunStarted,
        EventBody::RunAggregated { state: State::Succeeded },
        failed(Some(at(0))),
    ];
    assert!(!others.iter().any(EventBody::settles_task));
}

proptest! {
    #[test]
    fn any_events_and_clock_give_sane_estimate(
        remaining: u64,
        now in -62_167_219_200_000_i64..=253_402_300_799_999,
        events in prop::collection::vec((-10_000_000_i64..10_000_000, any::<bool>()), 0..20),
    ) {
        let now = Timestamp::from_millis(now).unwrap();
        let moment = |ms: i64| if ms < 0 { now.minus_millis(ms.unsigned_abs()) } else { now.plus_millis(ms.unsigned_abs()) };
        let recent: Vec<_> = events.iter().map(|(ms, settled)| RecentEvent { at: moment(*ms), settled: *settled }).collect();
        let eta = Eta::of(remaining, &recent, now);
        prop_assert!(eta.per_second.is_finite() && eta.per_second >= 0.0);
        prop_assert_eq!(eta.at.is_some(), remaining > 0 && eta.per_second > 0.0);
        prop_assert!(eta.at.is_none_or(|at| at >= now));
    }
}
