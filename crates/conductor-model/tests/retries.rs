//! Decisions on retries, backoff and jitter.

use conductor_model::{
    AttemptFailure, Backoff, DEFAULT_MAX_RETRIES, EventBody, FailedAttempt, FailureReason, IssueCode, Jitter,
    MAX_BACKOFF_MS, MAX_RETRIES, MaxRetries, RetryDecision, TaskId, Timestamp, decide_retry, retry_is_due,
};
use proptest::prelude::*;

fn any_delay() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..100_000, 0..=MAX_BACKOFF_MS, Just(MAX_BACKOFF_MS)]
}

fn any_backoff() -> impl Strategy<Value = Backoff> {
    prop_oneof![
        Just(Backoff::NONE),
        any_delay().prop_map(|ms| Backoff::fixed(ms).unwrap()),
        (any_delay(), any_delay(), 0.0..=1.0).prop_map(|(first, cap, jitter)| {
            Backoff::exponential(first, cap).unwrap().with_jitter(jitter).unwrap()
        }),
    ]
}

fn any_timestamp() -> impl Strategy<Value = Timestamp> {
    (Timestamp::MIN.as_millis()..=Timestamp::MAX.as_millis())
        .prop_map(|millis| Timestamp::from_millis(millis).unwrap())
}

fn any_retry_count() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..6, 0..=MAX_RETRIES + 1, any::<u32>(), Just(u32::MAX)]
}

/// Returns a failure, and whether it is retryable.
fn any_failure() -> impl Strategy<Value = (AttemptFailure, bool)> {
    let error = |(retryable, retry_after_ms)| {
        (AttemptFailure::Error { error: "why".into(), retryable, retry_after_ms }, retryable)
    };
    prop_oneof![
        4 => any::<(bool, Option<u64>)>().prop_map(error),
        1 => Just((AttemptFailure::TimedOut, true)),
        1 => Just((AttemptFailure::LeaseExpired, true)),
    ]
}

/// The limits of a failed task.
#[derive(Clone, Copy, Debug)]
struct TaskLimits {
    retry_count: u32,
    max_retries: MaxRetries,
    backoff: Backoff,
}

impl TaskLimits {
    fn with(self, failure: &AttemptFailure) -> FailedAttempt<'_> {
        let Self { retry_count, max_retries, backoff } = self;
        FailedAttempt { retry_count, max_retries, backoff, failure }
    }
}

fn any_task() -> impl Strategy<Value = TaskLimits> {
    // Often at the limit, or next to it.
    let retries = (prop_oneof![0_u32..4, 0..=MAX_RETRIES], any_retry_count(), 0_u32..6)
        .prop_map(|(max, count, near)| (if near < 3 { (max + near).saturating_sub(1) } else { count }, max));
    (retries, any_backoff()).prop_map(|((retry_count, max_retries), backoff)| {
        let max_retries = MaxRetries::try_from(i64::from(max_retries)).unwrap();
        TaskLimits { retry_count, max_retries, backoff }
    })
}

proptest! {
    #[test]
    fn task_is_never_retried_beyond_max_retries(
        task in any_task(), (failure, retryable) in any_failure(), now in any_timestamp(),
    ) {
        let decision = decide_retry(task.with(&failure), now, 0.5);
        let left = task.retry_count < task.max_retries.get();
        let expected_retry = retryable && left;
        prop_assert_eq!(matches!(decision, RetryDecision::Retry(_)), expected_retry);
        prop_assert_eq!(decision.due_at().is_some(), expected_retry);
        if !retryable {
            prop_assert_eq!(decision, RetryDecision::NotRetryable);
        } else if !left {
            prop_assert_eq!(decision, RetryDecision::Exhausted);
        }
        let event = EventBody::failed(&failure, decision);
        let event_is_final = matches!(event, EventBody::TaskFailed { due_at: None, .. });
        prop_assert_eq!(event_is_final, !expected_retry);
    }

    #[test]
    fn retry_is_due_within_seven_days(
        task in any_task(), (failure, _) in any_failure(), now in any_timestamp(), fraction in 0.0..=1.0,
    ) {
        if let RetryDecision::Retry(at) = decide_retry(task.with(&failure), now, fraction) {
            prop_assert!(at >= now);
            prop_assert!(at.millis_since(now) <= MAX_BACKOFF_MS);
            // The rule for a clock that jumped never applies to a retry that was just written.
            prop_assert!(at == now || !retry_is_due(at, now));
            prop_assert!(retry_is_due(at, at));
        }
    }

    #[test]
    fn retry_after_overrides_backoff(
        backoff in any_backoff(), retry_after_ms in any_delay(), fraction in 0.0..=1.0,
    ) {
        let now = Timestamp::from_millis(0).unwrap();
        let task = TaskLimits { retry_count: 0, max_retries: MaxRetries::default(), backoff };
        let busy = AttemptFailure::Error {
            error: "busy".into(), retryable: true, retry_after_ms: Some(retry_after_ms),
        };
        let expected = RetryDecision::Retry(now.plus_millis(retry_after_ms));
        prop_assert_eq!(decide_retry(task.with(&busy), now, fraction), expected);
        let expected = RetryDecision::Retry(now.plus_millis(backoff.delay_ms(0, fraction)));
        for failure in [AttemptFailure::error("busy"), AttemptFailure::TimedOut, AttemptFailure::LeaseExpired] {
            prop_assert_eq!(decide_retry(task.with(&failure), now, fraction), expected);
        }
    }

    #[test]
    fn exponential_delay_doubles_up_to_cap(
        first in any_delay(), cap in any_delay(), retries in any_retry_count(),
    ) {
        let backoff = Backoff::exponential(first, cap).unwrap();
        let delay = backoff.delay_ms(retries, 0.0);
        let exact = (0..retries.min(70)).fold(u128::from(first), |delay, _| (delay * 2).min(1 << 100));
        prop_assert_eq!(u128::from(delay), exact.min(u128::from(cap)));
        prop_assert!(backoff.delay_ms(retries.saturating_add(1), 0.0) >= delay);
        prop_assert_eq!(backoff.delay_ms(u32::MAX, 0.0), if first == 0 { 0 } else { cap });
    }

    #[test]
    fn jitter_shortens_delay_by_its_share(
        first in any_delay(), cap in any_delay(), jitter in 0.0..=1.0, retries in any_retry_count(), fraction in 0.0..=1.0,
    ) {
        let plain = Backoff::exponential(first, cap).unwrap();
        let full = plain.delay_ms(retries, fraction);
        let delay = plain.with_jitter(jitter).unwrap().delay_ms(retries, fraction);
        prop_assert!(delay <= full);
        #[expect(clippy::cast_precision_loss, reason = "delays are far below 2^52")]
        let share = (full - delay) as f64 / full.max(1) as f64;
        prop_assert!(share <= jitter + 1e-9, "shortened by {share}, {jitter} allowed");
    }

    #[test]
    fn backoff_survives_json(backoff in any_backoff()) {
        let json = serde_json::to_string(&backoff).unwrap();
        prop_assert_eq!(serde_json::from_str::<Backoff>(&json).unwrap(), backoff, "{}", json);
    }

    #[test]
    fn fraction_is_deterministic_and_below_one(seed in any::<u64>(), id in any::<u128>()) {
        let fraction = Jitter(seed).fraction(TaskId::from_u128(id));
        prop_assert!((0.0..1.0).contains(&fraction));
        prop_assert_eq!(fraction.to_bits(), Jitter(seed).fraction(TaskId::from_u128(id)).to_bits());
    }

    #[test]
    fn retry_is_due_in_time_or_after_jump(
        due_at in any_timestamp(), now in any_timestamp(),
    ) {
        let jumped = due_at.as_millis() - now.as_millis() > i64::try_from(MAX_BACKOFF_MS).unwrap();
        prop_assert_eq!(retry_is_due(due_at, now), due_at <= now || jumped);
    }
}

#[test]
fn retry_is_due_at_its_millisecond() {
    let now = Timestamp::from_millis(1_000_000).unwrap();
    assert!(retry_is_due(now, now));
    assert!(retry_is_due(Timestamp::MIN, now));
    assert!(!retry_is_due(now.plus_millis(1), now));
    assert!(!retry_is_due(now.plus_millis(MAX_BACKOFF_MS), now));
    assert!(retry_is_due(now.plus_millis(MAX_BACKOFF_MS + 1), now));
    assert!(retry_is_due(Timestamp::MAX, now));
}

#[test]
fn neighboring_tasks_get_unrelated_fractions() {
    let fractions: Vec<f64> = (0..1000).map(|id| Jitter(7).fraction(TaskId::from_u128(id))).collect();
    let mean = fractions.iter().sum::<f64>() / 1000.0;
    assert!((0.45..0.55).contains(&mean), "{mean}");
    let close = fractions.windows(2).filter(|pair| (pair[0] - pair[1]).abs() < 0.01).count();
    assert!(close < 50, "{close} of 999 neighbours are within 0.01");
}

#[test]
fn retry_without_backoff_is_due_immediately() {
    let now = Timestamp::from_millis(5).unwrap();
    let failure = FailedAttempt {
        retry_count: 0,
        max_retries: MaxRetries::default(),
        backoff: Backoff::default(),
        failure: &AttemptFailure::error("it broke"),
    };
    assert_eq!(decide_retry(failure, now, 1.0), RetryDecision::Retry(now));
}

#[test]
fn failure_has_text_and_reason() {
    let now = Timestamp::from_millis(5).unwrap();
    let all = [RetryDecision::Retry(now), RetryDecision::Exhausted];
    for (failure, text, reasons) in [
        (
            AttemptFailure::error("it broke"),
            "it broke",
            [FailureReason::Error, FailureReason::RetriesExhausted],
        ),
        (AttemptFailure::TimedOut, "timed out", [FailureReason::TimedOut; 2]),
        (AttemptFailure::LeaseExpired, "lease expired", [FailureReason::LeaseExpired; 2]),
    ] {
        assert_eq!(failure.text().as_str(), text);
        assert_eq!(all.map(|decision| failure.reason(decision)), reasons);
        let event = EventBody::failed(&failure, all[0]);
        let expected = EventBody::TaskFailed { reason: reasons[0], error: text.into(), due_at: Some(now) };
        assert_eq!(event, expected);
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
fn max_retries_out_of_bounds_is_rejected() {
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
fn backoff_above_seven_days_is_rejected() {
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
fn invalid_or_misplaced_jitter_is_rejected() {
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
