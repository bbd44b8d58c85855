//! The delay before a retry, and its jitter.

use crate::id::TaskId;
use crate::issue::{Issue, IssueCode};
use serde::{Deserialize, Serialize};

/// The longest delay before a retry, in milliseconds: seven days.
pub const MAX_BACKOFF_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// The delay before the retry of a failed task. Default: none, so the retry is due immediately.
///
/// ```
/// use conductor_model::Backoff;
///
/// let backoff = Backoff::exponential(100, 10_000)?;
/// assert_eq!([0, 1, 2, 9].map(|retries| backoff.delay_ms(retries, 0.0)), [100, 200, 400, 10_000]);
///
/// // Jitter 0.5 shortens the delay by up to half, here by 0.5 of that half.
/// assert_eq!(backoff.with_jitter(0.5)?.delay_ms(0, 0.5), 75);
/// # Ok::<(), conductor_model::Issue>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BackoffDraft", into = "BackoffDraft")]
pub struct Backoff(Curve);

/// How the delay depends on the number of retries.
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

/// The JSON form of a backoff: `{"fixed_ms": 500}` or `{"first_ms": 100, "cap_ms": 60000, "jitter": 0.2}`.
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
        let message = format!("must be at most {MAX_BACKOFF_MS} ms (7 days), but is {ms}");
        Err(Issue::new(IssueCode::TooBig, message).at(field))
    }
}

impl Backoff {
    /// No delay: the retry is due immediately.
    pub const NONE: Self = Self(Curve::None);

    /// Creates a fixed delay of `ms` milliseconds.
    ///
    /// # Errors
    /// Returns an [`Issue`] if `ms` exceeds [`MAX_BACKOFF_MS`].
    pub fn fixed(ms: u64) -> Result<Self, Issue> {
        Ok(Self(Curve::Fixed { ms: bounded_ms(ms, "fixed_ms")? }))
    }

    /// Creates a delay of `first_ms` milliseconds that doubles with each retry, up to `cap_ms`.
    ///
    /// If `cap_ms` is less than `first_ms`, every delay is `cap_ms`.
    ///
    /// # Errors
    /// Returns an [`Issue`] if a value exceeds [`MAX_BACKOFF_MS`].
    pub fn exponential(first_ms: u64, cap_ms: u64) -> Result<Self, Issue> {
        let (first_ms, cap_ms) = (bounded_ms(first_ms, "first_ms")?, bounded_ms(cap_ms, "cap_ms")?);
        Ok(Self(Curve::Exponential { first_ms, cap_ms, jitter: 0.0 }))
    }

    /// Shortens each delay of an exponential backoff by a random share of up to `jitter` (0.0 to 1.0).
    ///
    /// Tasks that failed together are then retried at different times.
    ///
    /// # Errors
    /// Returns an [`Issue`] if `jitter` is outside 0.0..=1.0, or if the backoff is not exponential.
    pub fn with_jitter(self, jitter: f64) -> Result<Self, Issue> {
        match self.0 {
            Curve::Exponential { first_ms, cap_ms, .. } if (0.0..=1.0).contains(&jitter) => {
                Ok(Self(Curve::Exponential { first_ms, cap_ms, jitter }))
            }
            Curve::Exponential { .. } => {
                let message = format!("must be between 0.0 and 1.0, but is {jitter}");
                Err(Issue::new(IssueCode::InvalidFormat, message).at("jitter"))
            }
            _ => Err(Issue::new(IssueCode::Conflict, "only an exponential backoff has jitter").at("jitter")),
        }
    }

    /// Returns the delay in milliseconds after a failure of a task that was retried `retry_count` times.
    ///
    /// `fraction`, from 0.0 to 1.0, is the random part of the jitter.
    pub fn delay_ms(self, retry_count: u32, fraction: f64) -> u64 {
        match self.0 {
            Curve::None => 0,
            Curve::Fixed { ms } => ms,
            Curve::Exponential { first_ms, cap_ms, jitter } => {
                let factor = 1_u64.checked_shl(retry_count).unwrap_or(u64::MAX);
                let full_ms = first_ms.saturating_mul(factor).min(cap_ms);
                #[expect(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "at most seven days of milliseconds times a share between 0 and 1"
                )]
                let jitter_ms = (full_ms as f64 * jitter * fraction) as u64;
                full_ms.saturating_sub(jitter_ms)
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

/// The random seed of a transaction, from which each task derives its own random fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter(pub u64);

impl Jitter {
    /// Returns a fraction from 0.0 to 1.0 for one task. The same seed and task always give the same fraction.
    pub fn fraction(self, task: TaskId) -> f64 {
        let bits = task.as_u128();
        #[expect(clippy::cast_possible_truncation, reason = "both halves of the id are mixed in")]
        let mut mixed = self.0 ^ (bits as u64) ^ ((bits >> 64) as u64);
        // The finalizer of SplitMix64, so that consecutive ids get unrelated fractions.
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let fraction = (mixed >> 11) as f64 / (1_u64 << 53) as f64;
        fraction
    }
}
