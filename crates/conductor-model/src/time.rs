//! Points in time: whole milliseconds, shown as RFC 3339 in UTC.

use crate::issue::{Issue, IssueCode};
use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z, between the years 0000 and 9999.
///
/// Any RFC 3339 text is accepted, with `Z` or an offset; digits below the millisecond are cut off. It is
/// written in UTC with three digits and `Z`.
///
/// ```
/// use conductor_model::Timestamp;
///
/// let moment: Timestamp = "2026-03-01T12:00:00.5+02:00".parse()?;
/// assert_eq!(moment.to_string(), "2026-03-01T10:00:00.500Z");
/// # Ok::<(), conductor_model::Issue>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

/// The number of milliseconds is outside the years 0000 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} ms since 1970 is outside the years 0000 to 9999")]
pub struct TimestampOutOfRange(pub i64);

impl Timestamp {
    /// 0000-01-01T00:00:00.000Z
    pub const MIN: Self = Self(-62_167_219_200_000);
    /// 9999-12-31T23:59:59.999Z
    pub const MAX: Self = Self(253_402_300_799_999);

    /// The moment that many milliseconds after 1970 began in UTC.
    ///
    /// # Errors
    /// [`TimestampOutOfRange`] outside the years 0000 to 9999, which RFC 3339 cannot show.
    pub fn from_millis(millis: i64) -> Result<Self, TimestampOutOfRange> {
        if (Self::MIN.0..=Self::MAX.0).contains(&millis) {
            Ok(Self(millis))
        } else {
            Err(TimestampOutOfRange(millis))
        }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// The moment so many milliseconds later, or [`Timestamp::MAX`].
    pub fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add_unsigned(millis).min(Self::MAX.0))
    }

    /// The moment so many milliseconds earlier, or [`Timestamp::MIN`].
    pub fn minus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_sub_unsigned(millis).max(Self::MIN.0))
    }

    /// Milliseconds from `earlier` to this moment, 0 if it is not earlier.
    pub fn millis_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0 - earlier.0).unwrap_or(0)
    }
}

impl FromStr for Timestamp {
    type Err = Issue;

    fn from_str(text: &str) -> Result<Self, Issue> {
        let wrong = |why: String| {
            Issue::new(
                IssueCode::InvalidFormat,
                format!("must be an RFC 3339 timestamp such as 2026-03-01T12:00:00.000Z: {why}"),
            )
        };
        let moment = DateTime::parse_from_rfc3339(text).map_err(|error| wrong(error.to_string()))?;
        Self::from_millis(moment.timestamp_millis()).map_err(|error| wrong(error.to_string()))
    }
}

impl TryFrom<String> for Timestamp {
    type Error = Issue;

    fn try_from(text: String) -> Result<Self, Issue> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(moment: Timestamp) -> Self {
        moment.to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every value between MIN and MAX is one that chrono can show.
        let moment = DateTime::from_timestamp_millis(self.0).unwrap_or(DateTime::UNIX_EPOCH);
        f.pad(&moment.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}
