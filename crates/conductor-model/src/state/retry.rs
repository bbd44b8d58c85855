//! Whether a failure is retried, and when.

use crate::event::FailureReason;
use crate::issue::{Issue, IssueCode};
use crate::record::ErrorText;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The greatest number of retries that may be asked for.
pub const MAX_RETRIES: u32 = 1000;
/// The number of retries when none is asked for.
pub const DEFAULT_MAX_RETRIES: u32 = 3;
/// The longest wait before a retry: seven days, in milliseconds.
pub const MAX_BACKOFF_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// The longest that an attempt may be allowed to take: seven days, in milliseconds.
pub const MAX_TIMEOUT_MS: u32 = 7 * 24 * 60 * 60 * 1000;

/// How often a failed task is retried: 0 to 1000, 3 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u32")]
pub struct MaxRetries(u32);

impl MaxRetries {
    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl Default for MaxRetries {
    fn default() -> Self {
        Self(DEFAULT_MAX_RETRIES)
    }
}

impl TryFrom<i64> for MaxRetries {
    type Error = Issue;

    fn try_from(number: i64) -> Result<Self, Issue> {
        let message = || format!("must be an integer in 0..={MAX_RETRIES}");
        match u32::try_from(number) {
            Ok(number) if number <= MAX_RETRIES => Ok(Self(number)),
            Err(_) if number < 0 => Err(Issue::new(IssueCode::TooSmall, message())),
            Ok(_) | Err(_) => Err(Issue::new(IssueCode::TooBig, message())),
        }
    }
}

impl From<MaxRetries> for u32 {
    fn from(max: MaxRetries) -> Self {
        max.0
    }
}

/// How long a failed task waits for its retry. None by default: it is due at once.
///
/// ```
/// use conductor_model::Backoff;
///
/// let backoff = Backoff::exponential(100, 10_000)?;
/// assert_eq!([0, 1, 2, 9].map(|retries| backoff.delay_ms(retries, 0.0)), [100, 200, 400, 10_000]);
///
/// // Jitter takes up to that share off; the chance, 0.0 to 1.0, is the caller's.
/// assert_eq!(backoff.with_jitter(0.5)?.delay_ms(0, 0.5), 75);
/// # Ok::<(), conductor_model::Issue>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BackoffDraft", into = "BackoffDraft")]
pub struct Backoff(Curve);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Curve {
    #[default]
    None,
    Fixed {
        ms: u64,
    },
    Exponential {
        first_ms: u64,
        cap_ms: u64,
        jitter: f64,
    },
}

/// The JSON of a backoff: `{"fixed_ms": 500}` or `{"first_ms": 100, "cap_ms": 60000, "jitter": 0.2}`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object such as {\"fixed_ms\": 500}")]
pub(crate) struct BackoffDraft {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fixed_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cap_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) jitter: Option<f64>,
}

fn bounded_ms(ms: u64, field: &str) -> Result<u64, Issue> {
    if ms <= MAX_BACKOFF_MS {
        Ok(ms)
    } else {
        let message = format!("must be at most {MAX_BACKOFF_MS} ms (7 days)");
        Err(Issue::new(IssueCode::TooBig, message).at(field))
    }
}

impl Backoff {
    /// A failed task is due at once.
    pub const NONE: Self = Self(Curve::None);

    /// A failed task is due after `ms` milliseconds.
    ///
    /// # Errors
    /// An [`Issue`] above seven days.
    pub fn fixed(ms: u64) -> Result<Self, Issue> {
        Ok(Self(Curve::Fixed { ms: bounded_ms(ms, "fixed_ms")? }))
    }

    /// A failed task is due after `first_ms` milliseconds, and after each retry twice as long, up to `cap_ms`.
    ///
    /// # Errors
    /// An [`Issue`] above seven days.
    pub fn exponential(first_ms: u64, cap_ms: u64) -> Result<Self, Issue> {
        let (first_ms, cap_ms) = (bounded_ms(first_ms, "first_ms")?, bounded_ms(cap_ms, "cap_ms")?);
        Ok(Self(Curve::Exponential { first_ms, cap_ms, jitter: 0.0 }))
    }

    /// Takes a random part of up to `jitter` (0.0 to 1.0) off each wait of an exponential backoff, so that
    /// tasks that failed together do not come back together.
    ///
    /// # Errors
    /// An [`Issue`] outside 0.0..=1.0, or on a backoff that is not exponential.
    pub fn with_jitter(self, jitter: f64) -> Result<Self, Issue> {
        match self.0 {
            Curve::Exponential { first_ms, cap_ms, .. } if (0.0..=1.0).contains(&jitter) => {
                Ok(Self(Curve::Exponential { first_ms, cap_ms, jitter }))
            }
            Curve::Exponential { .. } => {
                Err(Issue::new(IssueCode::InvalidFormat, "must be between 0.0 and 1.0").at("jitter"))
            }
            _ => Err(Issue::new(IssueCode::Conflict, "only an exponential backoff has jitter").at("jitter")),
        }
    }

    /// The wait in milliseconds before the retry of a task that was retried `retry_count` times; `chance`
    /// is between 0.0 and 1.0.
    pub fn delay_ms(self, retry_count: u32, chance: f64) -> u64 {
        match self.0 {
            Curve::None => 0,
            Curve::Fixed { ms } => ms,
            Curve::Exponential { first_ms, cap_ms, jitter } => {
                let factor = 1_u64.checked_shl(retry_count).unwrap_or(u64::MAX);
                let full = first_ms.saturating_mul(factor).min(cap_ms);
                #[expect(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "at most seven days of milliseconds times a share between 0 and 1"
                )]
                let off = (full as f64 * jitter * chance) as u64;
                full.saturating_sub(off)
            }
        }
    }
}

impl TryFrom<BackoffDraft> for Backoff {
    type Error = Issue;

    fn try_from(draft: BackoffDraft) -> Result<Self, Issue> {
        match draft {
            BackoffDraft { fixed_ms: None, first_ms: None, cap_ms: None, jitter: None } => Ok(Self::NONE),
            BackoffDraft { fixed_ms: Some(ms), first_ms: None, cap_ms: None, jitter: None } => {
                Self::fixed(ms)
            }
            BackoffDraft { fixed_ms: None, first_ms: Some(first), cap_ms: Some(cap), jitter } => {
                Self::exponential(first, cap)?.with_jitter(jitter.unwrap_or(0.0))
            }
            _ => Err(Issue::new(
                IssueCode::Conflict,
                "must be {\"fixed_ms\"} or {\"first_ms\", \"cap_ms\"} with an optional \"jitter\"",
            )),
        }
    }
}

impl From<Backoff> for BackoffDraft {
    fn from(backoff: Backoff) -> Self {
        match backoff.0 {
            Curve::None => Self::default(),
            Curve::Fixed { ms } => Self { fixed_ms: Some(ms), ..Self::default() },
            Curve::Exponential { first_ms, cap_ms, jitter } => Self {
                first_ms: Some(first_ms),
                cap_ms: Some(cap_ms),
                jitter: (jitter > 0.0).then_some(jitter),
                ..Self::default()
            },
        }
    }
}

/// The chance of one transaction, from which each task gets its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter(pub u64);

impl Jitter {
    /// A number between 0.0 and 1.0 for one task: the same for the same seed and task.
    pub fn fraction(self, task: crate::TaskId) -> f64 {
        let bits = task.as_u128();
        #[expect(clippy::cast_possible_truncation, reason = "both halves of the id go in")]
        let mut mixed = self.0 ^ (bits as u64) ^ ((bits >> 64) as u64);
        // The finalizer of SplitMix64: neighbouring ids get unrelated numbers.
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let share = (mixed >> 11) as f64 / (1_u64 << 53) as f64;
        share
    }
}

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq)]
pub enum AttemptFailure {
    /// Whoever worked on it said so.
    Error {
        /// Why.
        error: ErrorText,
        /// Whether a retry could help.
        retryable: bool,
        /// The wait that is asked for before the retry, in milliseconds, instead of the task's backoff.
        retry_after_ms: Option<u64>,
    },
    /// It took longer than it may.
    TimedOut,
    /// Whoever claimed it is gone, or gave no sign of life in time.
    LeaseExpired,
}

impl AttemptFailure {
    /// An error after which a retry could help.
    pub fn error(error: impl Into<ErrorText>) -> Self {
        Self::Error { error: error.into(), retryable: true, retry_after_ms: None }
    }

    /// An error after which no retry could help.
    pub fn fatal(error: impl Into<ErrorText>) -> Self {
        Self::Error { error: error.into(), retryable: false, retry_after_ms: None }
    }

    /// The failure in words.
    pub fn text(&self) -> ErrorText {
        match self {
            Self::Error { error, .. } => error.clone(),
            Self::TimedOut => "timed out".into(),
            Self::LeaseExpired => "lease expired".into(),
        }
    }

    /// The failure for programs, after what was decided of it.
    pub fn reason(&self, after: RetryDecision) -> FailureReason {
        match (self, after) {
            (Self::TimedOut, _) => FailureReason::TimedOut,
            (Self::LeaseExpired, _) => FailureReason::LeaseExpired,
            (Self::Error { .. }, RetryDecision::Retry(_)) => FailureReason::Error,
            (Self::Error { .. }, RetryDecision::Exhausted) => FailureReason::RetriesExhausted,
            (Self::Error { .. }, RetryDecision::NotRetryable) => FailureReason::NotRetryable,
        }
    }

    fn is_retryable(&self) -> bool {
        !matches!(self, Self::Error { retryable: false, .. })
    }

    fn retry_after_ms(&self) -> Option<u64> {
        if let Self::Error { retry_after_ms, .. } = self { *retry_after_ms } else { None }
    }
}

/// A failure, and what is known of the task that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailedAttempt<'a> {
    /// How often the task was retried so far.
    pub retry_count: u32,
    /// How often it may be.
    pub max_retries: MaxRetries,
    /// How long it waits.
    pub backoff: Backoff,
    /// How the attempt failed.
    pub failed: &'a AttemptFailure,
}

/// What follows from a failure.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    /// It is retried, not before this moment.
    Retry(Timestamp),
    /// It is final: no retry is left.
    Exhausted,
    /// It is final: a retry could not help.
    NotRetryable,
}

impl RetryDecision {
    /// When the task must be looked at again: the value of `due_at`.
    pub fn due_at(self) -> Option<Timestamp> {
        match self {
            Self::Retry(at) => Some(at),
            Self::Exhausted | Self::NotRetryable => None,
        }
    }
}

/// Decides what follows from a failure at `now`; `chance`, 0.0 to 1.0, is for the jitter.
pub fn decide_retry(failure: FailedAttempt<'_>, now: Timestamp, chance: f64) -> RetryDecision {
    if !failure.failed.is_retryable() {
        return RetryDecision::NotRetryable;
    }
    if failure.retry_count >= failure.max_retries.get() {
        return RetryDecision::Exhausted;
    }
    let asked_for = failure.failed.retry_after_ms();
    let delay = asked_for.unwrap_or_else(|| failure.backoff.delay_ms(failure.retry_count, chance));
    RetryDecision::Retry(now.plus_millis(delay.min(MAX_BACKOFF_MS)))
}

/// Whether a FAILED task with this `due_at` is to be retried at `now`.
///
/// One that is due further ahead than any backoff reaches was written under a clock that jumped: it is due.
pub fn retry_is_due(due_at: Timestamp, now: Timestamp) -> bool {
    due_at <= now || due_at > now.plus_millis(MAX_BACKOFF_MS)
}
