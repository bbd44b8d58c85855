//! When a run will be settled, by what happened lately.

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
fn the_pace_is_what_was_settled_since_the_first_of_the_events() {
    let recent = [started(10_000), settled(8000), started(8000), settled(4000), settled(1000)];
    let eta = Eta::of(6, &recent, at(0));
    assert_eq!((eta.remaining, eta.per_second, eta.at), (6, 0.3, Some(at(-20_000))));
}

#[test]
fn what_was_settled_at_the_first_moment_does_not_count() {
    // One transaction settled many, and the events begin in the middle of it.
    let mut recent = vec![settled(2000); 500];
    recent.extend([settled(1000); 4]);
    assert_eq!(Eta::of(10, &recent, at(0)).at, Some(at(-5000)), "two per second");
    assert_eq!(Eta::of(10, &[settled(2000); 500], at(0)).at, None, "nothing is known of the time before");
}

#[test]
fn nothing_settled_lately_gives_no_time() {
    let nothing = Eta { remaining: 5, per_second: 0.0, at: None };
    assert_eq!(Eta::of(5, &[], at(0)), nothing);
    assert_eq!(Eta::of(5, &[started(3000), started(1000)], at(0)), nothing);
    let hour = i64::try_from(Eta::WINDOW_MS).unwrap();
    assert_eq!(Eta::of(5, &[started(hour + 2), settled(hour + 1)], at(0)), nothing);
}

#[test]
fn a_pause_before_the_last_hour_does_not_slow_it_down() {
    let day = 24 * 60 * 60 * 1000;
    let recent = [settled(day), started(10_000), settled(5000)];
    assert_eq!(Eta::of(1, &recent, at(0)).at, Some(at(-10_000)));
}

#[test]
fn nothing_remains_at_the_end() {
    let eta = Eta::of(0, &[started(1000), settled(500)], at(0));
    assert_eq!((eta.remaining, eta.per_second, eta.at), (0, 1.0, None));
}

#[test]
fn what_settles_a_task_counts() {
    let failed =
        |due_at| EventBody::TaskFailed { reason: FailureReason::Error, error: ErrorText::from("no"), due_at };
    let settles = [
        EventBody::TaskSucceeded,
        EventBody::TaskCancelled { reason: None },
        EventBody::TaskAggregated { state: State::Failed },
        failed(None),
    ];
    assert!(settles.iter().all(EventBody::settles_task));
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
    fn no_events_and_no_clock_give_nonsense(
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
