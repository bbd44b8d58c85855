//! Whether a failure is retried, and when.

use conductor_model::{
    AttemptFailure, Backoff, DEFAULT_MAX_RETRIES, EventBody, FailedAttempt, FailureReason, IssueCode, Jitter,
    MAX_BACKOFF_MS, MAX_RETRIES, MaxRetries, RetryDecision, TaskId, Timestamp, decide_retry, retry_is_due,
};
use proptest::prelude::*;

fn a_wait() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..100_000, 0..=MAX_BACKOFF_MS, Just(MAX_BACKOFF_MS)]
}

fn a_backoff() -> impl Strategy<Value = Backoff> {
    prop_oneof![
        Just(Backoff::NONE),
        a_wait().prop_map(|ms| Backoff::fixed(ms).unwrap()),
        (a_wait(), a_wait(), 0.0..=1.0).prop_map(|(first, cap, jitter)| {
            Backoff::exponential(first, cap).unwrap().with_jitter(jitter).unwrap()
        }),
    ]
}

fn a_moment() -> impl Strategy<Value = Timestamp> {
    (Timestamp::MIN.as_millis()..=Timestamp::MAX.as_millis())
        .prop_map(|millis| Timestamp::from_millis(millis).unwrap())
}

fn a_retry_count() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..6, 0..=MAX_RETRIES + 1, any::<u32>(), Just(u32::MAX)]
}

/// How an attempt failed, and whether a retry could help.
fn a_way_to_fail() -> impl Strategy<Value = (AttemptFailure, bool)> {
    let error = |(retryable, retry_after_ms)| {
        (AttemptFailure::Error { error: "why".into(), retryable, retry_after_ms }, retryable)
    };
    prop_oneof![
        4 => any::<(bool, Option<u64>)>().prop_map(error),
        1 => Just((AttemptFailure::TimedOut, true)),
        1 => Just((AttemptFailure::LeaseExpired, true)),
    ]
}

/// What is known of a task that failed.
#[derive(Clone, Copy, Debug)]
struct Known {
    retry_count: u32,
    max_retries: MaxRetries,
    backoff: Backoff,
}

impl Known {
    fn with(self, failed: &AttemptFailure) -> FailedAttempt<'_> {
        let Self { retry_count, max_retries, backoff } = self;
        FailedAttempt { retry_count, max_retries, backoff, failed }
    }
}

fn a_failed_task() -> impl Strategy<Value = Known> {
    // Often at its limit, or one beside it.
    let retries = (prop_oneof![0_u32..4, 0..=MAX_RETRIES], a_retry_count(), 0_u32..6).prop_map(
        |(max, count, beside)| (if beside < 3 { (max + beside).saturating_sub(1) } else { count }, max),
    );
    (retries, a_backoff()).prop_map(|((retry_count, max_retries), backoff)| {
        let max_retries = MaxRetries::try_from(i64::from(max_retries)).unwrap();
        Known { retry_count, max_retries, backoff }
    })
}

proptest! {
    #[test]
    fn a_task_is_never_retried_past_its_max_retries(
        task in a_failed_task(), (failed, retryable) in a_way_to_fail(), now in a_moment(),
    ) {
        let after = decide_retry(task.with(&failed), now, 0.5);
        let left = task.retry_count < task.max_retries.get();
        let expected_retry = retryable && left;
        prop_assert_eq!(matches!(after, RetryDecision::Retry(_)), expected_retry);
        prop_assert_eq!(after.due_at().is_some(), expected_retry);
        if !retryable {
            prop_assert_eq!(after, RetryDecision::NotRetryable);
        } else if !left {
            prop_assert_eq!(after, RetryDecision::Exhausted);
        }
        let event = EventBody::failed(&failed, after);
        let event_is_final = matches!(event, EventBody::TaskFailed { due_at: None, .. });
        prop_assert_eq!(event_is_final, !expected_retry);
    }

    #[test]
    fn a_retry_is_never_due_in_the_past_nor_further_ahead_than_seven_days(
        task in a_failed_task(), (failed, _) in a_way_to_fail(), now in a_moment(), chance in 0.0..=1.0,
    ) {
        if let RetryDecision::Retry(at) = decide_retry(task.with(&failed), now, chance) {
            prop_assert!(at >= now);
            prop_assert!(at.millis_since(now) <= MAX_BACKOFF_MS);
            // So that the rule for a clock that jumped never strikes a retry that was just written.
            prop_assert!(at == now || !retry_is_due(at, now));
            prop_assert!(retry_is_due(at, at));
        }
    }

    #[test]
    fn a_retry_after_wins_over_the_backoff(
        backoff in a_backoff(), retry_after_ms in a_wait(), chance in 0.0..=1.0,
    ) {
        let now = Timestamp::from_millis(0).unwrap();
        let task = Known { retry_count: 0, max_retries: MaxRetries::default(), backoff };
        let asking = AttemptFailure::Error {
            error: "busy".into(), retryable: true, retry_after_ms: Some(retry_after_ms),
        };
        let expected = RetryDecision::Retry(now.plus_millis(retry_after_ms));
        prop_assert_eq!(decide_retry(task.with(&asking), now, chance), expected);
        let expected = RetryDecision::Retry(now.plus_millis(backoff.delay_ms(0, chance)));
        for other in [AttemptFailure::error("busy"), AttemptFailure::TimedOut, AttemptFailure::LeaseExpired] {
            prop_assert_eq!(decide_retry(task.with(&other), now, chance), expected);
        }
    }

    #[test]
    fn an_exponential_wait_doubles_up_to_its_cap_and_never_shrinks(
        first in a_wait(), cap in a_wait(), retries in a_retry_count(),
    ) {
        let backoff = Backoff::exponential(first, cap).unwrap();
        let wait = backoff.delay_ms(retries, 0.0);
        let exact = (0..retries.min(70)).fold(u128::from(first), |wait, _| (wait * 2).min(1 << 100));
        prop_assert_eq!(u128::from(wait), exact.min(u128::from(cap)));
        prop_assert!(backoff.delay_ms(retries.saturating_add(1), 0.0) >= wait);
        prop_assert_eq!(backoff.delay_ms(u32::MAX, 0.0), if first == 0 { 0 } else { cap });
    }

    #[test]
    fn jitter_only_shortens_and_at_most_by_its_share(
        first in a_wait(), cap in a_wait(), jitter in 0.0..=1.0, retries in a_retry_count(), chance in 0.0..=1.0,
    ) {
        let plain = Backoff::exponential(first, cap).unwrap();
        let full = plain.delay_ms(retries, chance);
        let wait = plain.with_jitter(jitter).unwrap().delay_ms(retries, chance);
        prop_assert!(wait <= full);
        #[expect(clippy::cast_precision_loss, reason = "waits are far below 2^52")]
        let off = (full - wait) as f64 / full.max(1) as f64;
        prop_assert!(off <= jitter + 1e-9, "{off} off, {jitter} allowed");
    }

    #[test]
    fn a_backoff_survives_its_json(backoff in a_backoff()) {
        let json = serde_json::to_string(&backoff).unwrap();
        prop_assert_eq!(serde_json::from_str::<Backoff>(&json).unwrap(), backoff, "{}", json);
    }

    #[test]
    fn a_chance_is_a_share_and_the_same_for_the_same_seed_and_task(seed in any::<u64>(), id in any::<u128>()) {
        let chance = Jitter(seed).fraction(TaskId::from_u128(id));
        prop_assert!((0.0..1.0).contains(&chance));
        prop_assert_eq!(chance.to_bits(), Jitter(seed).fraction(TaskId::from_u128(id)).to_bits());
    }

    #[test]
    fn a_retry_is_due_when_its_moment_has_come_or_was_written_by_a_clock_that_jumped(
        due_at in a_moment(), now in a_moment(),
    ) {
        let jumped = due_at.as_millis() - now.as_millis() > i64::try_from(MAX_BACKOFF_MS).unwrap();
        prop_assert_eq!(retry_is_due(due_at, now), due_at <= now || jumped);
    }
}

#[test]
fn a_retry_is_due_from_its_very_millisecond_on() {
    let now = Timestamp::from_millis(1_000_000).unwrap();
    assert!(retry_is_due(now, now));
    assert!(retry_is_due(Timestamp::MIN, now));
    assert!(!retry_is_due(now.plus_millis(1), now));
    assert!(!retry_is_due(now.plus_millis(MAX_BACKOFF_MS), now));
    assert!(retry_is_due(now.plus_millis(MAX_BACKOFF_MS + 1), now));
    assert!(retry_is_due(Timestamp::MAX, now));
}

#[test]
fn neighbouring_tasks_get_unrelated_chances() {
    let chances: Vec<f64> = (0..1000).map(|id| Jitter(7).fraction(TaskId::from_u128(id))).collect();
    let mean = chances.iter().sum::<f64>() / 1000.0;
    assert!((0.45..0.55).contains(&mean), "{mean}");
    let close = chances.windows(2).filter(|pair| (pair[0] - pair[1]).abs() < 0.01).count();
    assert!(close < 50, "{close} of 999 neighbours are within 0.01");
}

#[test]
fn without_a_backoff_a_failed_task_is_due_at_once() {
    let now = Timestamp::from_millis(5).unwrap();
    let failure = FailedAttempt {
        retry_count: 0,
        max_retries: MaxRetries::default(),
        backoff: Backoff::default(),
        failed: &AttemptFailure::error("it broke"),
    };
    assert_eq!(decide_retry(failure, now, 1.0), RetryDecision::Retry(now));
}

#[test]
fn a_failure_is_told_in_words_and_for_programs() {
    let now = Timestamp::from_millis(5).unwrap();
    let all = [RetryDecision::Retry(now), RetryDecision::Exhausted];
    for (failed, words, reasons) in [
        (
            AttemptFailure::error("it broke"),
            "it broke",
            [FailureReason::Error, FailureReason::RetriesExhausted],
        ),
        (AttemptFailure::TimedOut, "timed out", [FailureReason::TimedOut; 2]),
        (AttemptFailure::LeaseExpired, "lease expired", [FailureReason::LeaseExpired; 2]),
    ] {
        assert_eq!(failed.text().as_str(), words);
        assert_eq!(all.map(|after| failed.reason(after)), reasons);
        let event = EventBody::failed(&failed, all[0]);
        let told = EventBody::TaskFailed { reason: reasons[0], error: words.into(), due_at: Some(now) };
        assert_eq!(event, told);
    }
    let fatal = AttemptFailure::fatal("it is broken");
    assert_eq!(fatal.reason(RetryDecision::NotRetryable), FailureReason::NotRetryable);
    for (reason, json) in
        [(FailureReason::TimedOut, "\"timed_out\""), (FailureReason::LeaseExpired, "\"lease_expired\"")]
    {
        assert_eq!(serde_json::to_string(&reason).unwrap(), json);
    }
}

#[test]
fn max_retries_is_bounded_from_both_sides() {
    assert_eq!(MaxRetries::default().get(), DEFAULT_MAX_RETRIES);
    for number in [0, 1, 3, 999, 1000] {
        let max = MaxRetries::try_from(number).unwrap();
        assert_eq!(i64::from(max.get()), number);
        assert_eq!(serde_json::to_string(&max).unwrap(), number.to_string());
        assert_eq!(serde_json::from_str::<MaxRetries>(&number.to_string()).unwrap(), max);
    }
    for number in [-1, i64::MIN, i64::from(i32::MIN)] {
        assert_eq!(MaxRetries::try_from(number).unwrap_err().code, IssueCode::TooSmall, "{number}");
    }
    for number in [1001, i64::from(u32::MAX), i64::from(u32::MAX) + 4, i64::MAX] {
        assert_eq!(MaxRetries::try_from(number).unwrap_err().code, IssueCode::TooBig, "{number}");
    }
    for json in ["-1", "1001", "18446744073709551615", "1.5", "\"3\"", "null", "true"] {
        assert!(serde_json::from_str::<MaxRetries>(json).is_err(), "{json}");
    }
}

#[test]
fn a_backoff_is_bounded_at_seven_days() {
    assert!(Backoff::fixed(MAX_BACKOFF_MS).is_ok());
    assert!(Backoff::exponential(MAX_BACKOFF_MS, MAX_BACKOFF_MS).is_ok());
    let over = MAX_BACKOFF_MS + 1;
    let refused = [
        (Backoff::fixed(over), "fixed_ms"),
        (Backoff::fixed(u64::MAX), "fixed_ms"),
        (Backoff::exponential(over, 1), "first_ms"),
        (Backoff::exponential(1, over), "cap_ms"),
    ];
    for (backoff, path) in refused {
        let issue = backoff.unwrap_err();
        assert_eq!((issue.code, issue.path.as_str()), (IssueCode::TooBig, path));
    }
}

#[test]
fn jitter_is_a_share_and_belongs_to_an_exponential_backoff() {
    let backoff = Backoff::exponential(1, 2).unwrap();
    for share in [0.0, 1.0, 0.5, -0.0] {
        assert!(backoff.with_jitter(share).is_ok(), "{share}");
    }
    for share in [-0.001, 1.001, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(backoff.with_jitter(share).unwrap_err().path, "jitter", "{share}");
    }
    for backoff in [Backoff::NONE, Backoff::fixed(5).unwrap()] {
        assert_eq!(backoff.with_jitter(0.5).unwrap_err().code, IssueCode::Conflict);
    }
}
