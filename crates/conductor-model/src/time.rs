//! Timestamps: whole milliseconds, written as RFC 3339 in UTC.

use crate::issue::{Issue, IssueCode, quoted};
use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z, between the years 0000 and 9999.
///
/// Parsing accepts any RFC 3339 text, with `Z` or an offset, and drops digits below the millisecond. The text form is
/// in UTC, with three digits and `Z`.
///
/// ```
/// use conductor_model::Timestamp;
///
/// let timestamp: Timestamp = "2026-03-01T12:00:00.5+02:00".parse()?;
/// assert_eq!(timestamp.to_string(), "2026-03-01T10:00:00.500Z");
/// # Ok::<(), conductor_model::Issue>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

/// The error of [`Timestamp::from_millis`] for a number outside the years 0000 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} ms since 1970 is outside the years 0000 to 9999")]
pub struct TimestampOutOfRange(pub i64);

impl Timestamp {
    /// The earliest timestamp: 0000-01-01T00:00:00.000Z.
    pub const MIN: Self = Self(-62_167_219_200_000);
    /// The latest timestamp: 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// Creates a timestamp from milliseconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// Returns [`TimestampOutOfRange`] outside the years 0000 to 9999, which RFC 3339 cannot express.
    pub fn from_millis(millis: i64) -> Result<Self, TimestampOutOfRange> {
        if (Self::MIN.0..=Self::MAX.0).contains(&millis) {
            Ok(Self(millis))
        } else {
            Err(TimestampOutOfRange(millis))
        }
    }

    /// Returns the milliseconds since 1970-01-01T00:00:00Z.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns the timestamp `millis` milliseconds later, at most [`Timestamp::MAX`].
    pub fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add_unsigned(millis).min(Self::MAX.0))
    }

    /// Returns the timestamp `millis` milliseconds earlier, at least [`Timestamp::MIN`].
    pub fn minus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_sub_unsigned(millis).max(Self::MIN.0))
    }

    /// Parses the text. An issue does not name the value, because the caller adds its path.
    pub(crate) fn parse_member(text: &str) -> Result<Self, Issue> {
        let invalid = |reason: String| {
            let value = quoted(text);
            let message = format!(
                "must be an RFC 3339 text such as 2026-03-01T12:00:00.000Z, but is {value}: {reason}"
            );
            Issue::new(IssueCode::InvalidFormat, message)
        };
        let date_time = DateTime::parse_from_rfc3339(text).map_err(|error| invalid(error.to_string()))?;
        Self::from_millis(date_time.timestamp_millis()).map_err(|error| invalid(error.to_string()))
    }

    /// Returns the milliseconds from `earlier` to this timestamp, or 0 if `earlier` is not earlier.
    pub fn millis_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0 - earlier.0).unwrap_or(0)
    }
}

impl FromStr for Timestamp {
    type Err = Issue;

    fn from_str(text: &str) -> Result<Self, Issue> {
        Self::parse_member(text).map_err(|issue| issue.of_value("timestamp"))
    }
}

impl TryFrom<String> for Timestamp {
    type Error = Issue;

    fn try_from(text: String) -> Result<Self, Issue> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // chrono can express every value between MIN and MAX.
        let date_time = DateTime::from_timestamp_millis(self.0).unwrap_or(DateTime::UNIX_EPOCH);
        f.pad(&date_time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}
