//! What the failures of children mean for their parent, and what a cancel leaves on it.

use crate::issue::{Issue, IssueCode};
use crate::numbers::Numbers;
use crate::transition::{Signal, State};
use serde::{Deserialize, Serialize};

/// What the failures of children mean for their parent, or those of root tasks for their run.
///
/// As JSON: `"fail"`, `{"tolerate": 3}`, `{"tolerate_percent": 10}`, `"ignore"`, `"fail_fast"`. It is the parent's own: a
/// parent below it has the default, unless it says otherwise.
///
/// ```
/// use conductor_model::{Numbers, Policy, State, Decision, Standing};
///
/// let numbers = Numbers { total: Some(10), children: 10, failed: 1, ..Numbers::default() };
/// let decided = |policy| Standing { policy, ..Standing::of(numbers) }.decide();
/// assert_eq!(decided(Policy::Fail), Decision::Settle(State::Failed));
/// assert_eq!(decided(Policy::Tolerate(1)), Decision::Settle(State::Succeeded));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Any failure makes the parent fail, once all children are settled.
    #[default]
    Fail,
    /// So many failures are tolerated.
    Tolerate(u32),
    /// So many failures of a hundred children are tolerated.
    ToleratePercent(Percent),
    /// All failures are tolerated.
    Ignore,
    /// The first failure cancels the siblings that are open, and the parent fails.
    FailFast,
}

impl Policy {
    /// Tolerates failures of so many of a hundred children.
    ///
    /// # Errors
    /// [`Issue`] for more than 100.
    pub fn tolerate_percent(percent: u8) -> Result<Self, Issue> {
        Percent::try_from(percent).map(Self::ToleratePercent)
    }

    /// Whether these failures are tolerated. Cancelled children are no failures.
    pub fn tolerates(self, numbers: Numbers) -> bool {
        let failed = numbers.failed;
        match self {
            Self::Fail | Self::FailFast => failed == 0,
            Self::Tolerate(most) => failed <= most,
            Self::ToleratePercent(Percent(percent)) => {
                u64::from(failed) * 100 <= u64::from(percent) * u64::from(numbers.children)
            }
            Self::Ignore => true,
        }
    }
}

/// A share in percent: 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(pub(crate) u8);

impl Percent {
    /// The number.
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
            Err(Issue::new(IssueCode::TooBig, "must be an integer in 0..=100"))
        }
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

/// Why a parent or a run was marked. Under a mark nothing is created, started, appended or sealed any more; what is
/// open below it is cancelled, and then it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// A person cancelled it.
    Cancelled,
    /// The run's deadline passed.
    Deadline,
    /// A child failed for good, and the policy is [`Policy::FailFast`].
    FailFast,
    /// Something above it was marked.
    Above,
}

impl Mark {
    /// Every mark, in the order of the numbers that a store may keep for them, from 1.
    pub const ALL: [Self; 4] = [Self::Cancelled, Self::Deadline, Self::FailFast, Self::Above];

    /// The state in which something with this mark ends.
    pub fn end(self) -> State {
        match self {
            Self::FailFast => State::Failed,
            Self::Cancelled | Self::Deadline | Self::Above => State::Cancelled,
        }
    }
}

/// What a parent or a run does when its children are settled and its policy is satisfied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Joining {
    /// It succeeds.
    #[default]
    Nothing,
    /// It will run its join.
    Awaited,
    /// Its join is open.
    Open,
    /// Its join ended in this state.
    Ended(State),
}

impl Joining {
    /// Whether there is a join at all.
    pub fn is_wanted(self) -> bool {
        self != Self::Nothing
    }
}

/// As much of a parent, or of a run, as its decision depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What it knows of its children.
    pub numbers: Numbers,
    /// What their failures mean for it.
    pub policy: Policy,
    /// Whether it was marked.
    pub mark: Option<Mark>,
    /// How its join stands.
    pub joining: Joining,
}

/// What follows for a parent or a run.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet: the fan-out is open, children are missing, or a child or the join is not settled.
    Wait,
    /// It is marked: its policy gives it up.
    Mark(Mark),
    /// Its join runs now.
    Join,
    /// It ends in this state.
    Settle(State),
}

impl Decision {
    /// The signal by which it ends, if it does.
    pub fn end(self) -> Option<Signal> {
        match self {
            Self::Settle(state) => state.ended_by(),
            Self::Wait | Self::Mark(_) | Self::Join => None,
        }
    }
}

impl Standing {
    /// With the default policy, without a join, not marked.
    pub fn of(numbers: Numbers) -> Self {
        Self { numbers, ..Self::default() }
    }

    /// What follows.
    ///
    /// A marked one ends when no child and no join is open, whatever is missing, as its mark says; but when its join
    /// succeeded all the same, that was before the sweep came, and so has it. Any other ends when its fan-out is
    /// sealed, all its children exist and all are settled: more failures than its policy tolerates make FAILED, else any
    /// cancelled child makes CANCELLED, else its join decides, and without one it has SUCCEEDED.
    pub fn decide(self) -> Decision {
        let numbers = self.numbers;
        let is_complete = numbers.total == Some(numbers.children) && numbers.open == 0;
        match (self.mark, self.joining) {
            (_, Joining::Open) => Decision::Wait,
            (Some(_), _) if numbers.open > 0 => Decision::Wait,
            // What a join has made of it is made: nothing takes its success back, so that no revival may need to.
            (Some(_), Joining::Ended(State::Succeeded)) => Decision::Settle(State::Succeeded),
            (Some(mark), _) => Decision::Settle(mark.end()),
            (None, _) if !is_complete && self.policy == Policy::FailFast && numbers.failed > 0 => {
                Decision::Mark(Mark::FailFast)
            }
            (None, _) if !is_complete => Decision::Wait,
            (None, _) if !self.policy.tolerates(numbers) => Decision::Settle(State::Failed),
            (None, _) if numbers.cancelled > 0 => Decision::Settle(State::Cancelled),
            (None, Joining::Awaited) => Decision::Join,
            (None, Joining::Ended(state)) => Decision::Settle(state),
            (None, Joining::Nothing) => Decision::Settle(State::Succeeded),
        }
    }

    /// Whether one in which nothing ever started walks through RUNNING to this end; one whose children were all
    /// cancelled before they started does not.
    pub fn starts_first(present: State, end: Signal) -> bool {
        present == State::Pending && end != Signal::Cancel
    }

    /// What a revived descendant leaves of it: no mark, and a join that is run again.
    #[must_use]
    pub fn reopened(self) -> Self {
        let joining = if self.joining.is_wanted() { Joining::Awaited } else { Joining::Nothing };
        Self { mark: None, joining, ..self }
    }
}
