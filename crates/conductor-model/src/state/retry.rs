//! The number of retries, and the time limit of an attempt.

use crate::issue::{Issue, IssueCode};
use serde::{Deserialize, Serialize};

/// The largest number of retries of a task.
pub const MAX_RETRIES: u32 = 1000;
/// The default number of retries of a task.
pub const DEFAULT_MAX_RETRIES: u32 = 3;
/// The longest time limit of an attempt, in milliseconds: seven days.
pub const MAX_TIMEOUT_MS: u32 = 7 * 24 * 60 * 60 * 1000;

/// The number of retries of a failed task: 0 to 1000. Default: 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u32")]
pub struct MaxRetries(u32);

impl MaxRetries {
    /// Returns the number.
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
        let message = || format!("max_retries must be an integer in 0..={MAX_RETRIES}, but is {number}");
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
