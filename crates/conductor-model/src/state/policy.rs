//! How failures of children count in the decision of their parent.

use super::counts::ChildCounts;
use crate::issue::{Issue, IssueCode};
use serde::{Deserialize, Serialize};

/// How failures of children count for their parent, or failures of root tasks for their run.
///
/// As JSON: `"fail"`, `{"tolerate": 3}`, `{"tolerate_percent": 10}`, `"ignore"` or `"fail_fast"`. Default: `"fail"`.
/// Children do not inherit the policy of their parent.
///
/// ```
/// use conductor_model::{ChildCounts, Decision, ParentStatus, Policy, State};
///
/// let counts = ChildCounts { total: Some(10), created: 10, failed: 1, ..ChildCounts::default() };
/// let decide = |policy| ParentStatus { policy, ..ParentStatus::of(counts) }.decide();
/// assert_eq!(decide(Policy::Fail), Decision::Settle(State::Failed));
/// assert_eq!(decide(Policy::Tolerate(1)), Decision::Settle(State::Succeeded));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Any failure makes the parent fail, after all children are settled.
    #[default]
    Fail,
    /// At most this number of failures is tolerated.
    Tolerate(u32),
    /// Failures of at most this percentage of all children are tolerated.
    ToleratePercent(Percent),
    /// All failures are tolerated.
    Ignore,
    /// The first failure cancels the open siblings, and then the parent fails.
    FailFast,
}

impl Policy {
    /// Creates a policy that tolerates failures of at most `percent` percent of all children.
    ///
    /// # Errors
    /// Returns an [`Issue`] for more than 100 percent.
    pub fn tolerate_percent(percent: u8) -> Result<Self, Issue> {
        Percent::try_from(percent).map(Self::ToleratePercent)
    }

    /// Returns whether the policy tolerates these failures. Cancelled children are not failures.
    pub fn tolerates(self, counts: ChildCounts) -> bool {
        let failed = counts.failed;
        match self {
            Self::Fail | Self::FailFast => failed == 0,
            Self::Tolerate(max) => failed <= max,
            Self::ToleratePercent(Percent(percent)) => {
                u64::from(failed) * 100 <= u64::from(percent) * u64::from(counts.created)
            }
            Self::Ignore => true,
        }
    }
}

/// A percentage from 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(pub(super) u8);

impl Percent {
    /// Returns the number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = Issue;

    fn try_from(percent: u8) -> Result<Self, Issue> {
        if percent <= 100 {
            Ok(Self(percent))
        } else {
            Err(Issue::new(
                IssueCode::TooBig,
                format!("percent must be an integer in 0..=100, but is {percent}"),
            ))
        }
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}
