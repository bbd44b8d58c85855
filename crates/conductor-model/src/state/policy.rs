//! What the failures of children mean for their parent, and what a cancel leaves on it.

use crate::issue::{Issue, IssueCode};
use crate::numbers::ChildCounts;
use crate::transition::{Signal, State};
use serde::{Deserialize, Serialize};

/// What the failures of children mean for their parent, or those of root tasks for their run.
///
/// As JSON: `"fail"`, `{"tolerate": 3}`, `{"tolerate_percent": 10}`, `"ignore"`, `"fail_fast"`. It is the parent's own: a
/// parent below it has the default, unless it says otherwise.
///
/// ```
/// use conductor_model::{ChildCounts, Policy, State, Decision, ParentStatus};
///
/// let numbers = ChildCounts { total: Some(10), children: 10, failed: 1, ..ChildCounts::default() };
/// let decided = |policy| ParentStatus { policy, ..ParentStatus::of(numbers) }.decide();
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
    pub fn tolerates(self, numbers: ChildCounts) -> bool {
        let failed = numbers.failed;
        match self {
            Self::Fail | Self::FailFast => failed == 0,
            Self::Tolerate(most) => failed <= most,
            Self::ToleratePercent(Percent(percent)) => {
                u64::from(failed) * 100 <= u64::from(percent) * u64::from(numbers.created)
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
pub enum CancelCause {
    /// A person cancelled it.
    Requested,
    /// The run's deadline passed.
    Deadline,
    /// A child failed for good, and the policy is [`Policy::FailFast`].
    FailFast,
    /// Something above it was marked.
    Ancestor,
}

impl CancelCause {
    /// Every mark, in the order of the numbers that a store may keep for them, from 1.
    pub const ALL: [Self; 4] = [Self::Requested, Self::Deadline, Self::FailFast, Self::Ancestor];

    /// The state in which something with this mark ends.
    pub fn final_state(self) -> State {
        match self {
            Self::FailFast => State::Failed,
            Self::Requested | Self::Deadline | Self::Ancestor => State::Cancelled,
        }
    }
}

/// What a parent or a run does when its children are settled and its policy is satisfied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinStatus {
    /// It succeeds.
    #[default]
    None,
    /// It will run its join.
    NotStarted,
    /// Its join is open.
    Open,
    /// Its join ended in this state.
    Settled(State),
}

impl JoinStatus {
    /// Whether there is a join at all.
    pub fn has_join(self) -> bool {
        self != Self::None
    }
}

/// As much of a parent, or of a run, as its decision depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentStatus {
    /// What it knows of its children.
    pub counts: ChildCounts,
    /// What their failures mean for it.
    pub policy: Policy,
    /// Whether it was marked.
    pub cancel_cause: Option<CancelCause>,
    /// How its join stands.
    pub join: JoinStatus,
}

/// What follows for a parent or a run.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet: the fan-out is open, children are missing, or a child or the join is not settled.
    Wait,
    /// It is marked: its policy gives it up.
    CancelOpenChildren(CancelCause),
    /// Its join runs now.
    StartJoin,
    /// It ends in this state.
    Settle(State),
}

impl Decision {
    /// The signal by which it ends, if it does.
    pub fn signal(self) -> Option<Signal> {
        match self {
            Self::Settle(state) => state.ended_by(),
            Self::Wait | Self::CancelOpenChildren(_) | Self::StartJoin => None,
        }
    }
}

impl ParentStatus {
    /// With the default policy, without a join, not marked.
    pub fn of(numbers: ChildCounts) -> Self {
        Self { counts: numbers, ..Self::default() }
    }

    /// What follows.
    ///
    /// A marked one ends when no child and no join is open, whatever is missing, as its mark says; but when its join
    /// succeeded all the same, that was before the sweep came, and so has it. Any other ends when its fan-out is
    /// sealed, all its children exist and all are settled: more failures than its policy tolerates make FAILED, else any
    /// cancelled child makes CANCELLED, else its join decides, and without one it has SUCCEEDED.
    pub fn decide(self) -> Decision {
        let numbers = self.counts;
        let is_complete = numbers.total == Some(numbers.created) && numbers.open == 0;
        match (self.cancel_cause, self.join) {
            (_, JoinStatus::Open) => Decision::Wait,
            (Some(_), _) if numbers.open > 0 => Decision::Wait,
            // What a join has made of it is made: nothing takes its success back, so that no revival may need to.
            (Some(_), JoinStatus::Settled(State::Succeeded)) => Decision::Settle(State::Succeeded),
            (Some(mark), _) => Decision::Settle(mark.final_state()),
            (None, _) if !is_complete && self.policy == Policy::FailFast && numbers.failed > 0 => {
                Decision::CancelOpenChildren(CancelCause::FailFast)
            }
            (None, _) if !is_complete => Decision::Wait,
            (None, _) if !self.policy.tolerates(numbers) => Decision::Settle(State::Failed),
            (None, _) if numbers.cancelled > 0 => Decision::Settle(State::Cancelled),
            (None, JoinStatus::NotStarted) => Decision::StartJoin,
            (None, JoinStatus::Settled(state)) => Decision::Settle(state),
            (None, JoinStatus::None) => Decision::Settle(State::Succeeded),
        }
    }

    /// Whether one in which nothing ever started walks through RUNNING to this end; one whose children were all
    /// cancelled before they started does not.
    pub fn passes_through_running(present: State, end: Signal) -> bool {
        present == State::Pending && end != Signal::Cancel
    }

    /// What a revived descendant leaves of it: no mark, and a join that is run again.
    #[must_use]
    pub fn reopened(self) -> Self {
        let joining = if self.join.has_join() { JoinStatus::NotStarted } else { JoinStatus::None };
        Self { cancel_cause: None, join: joining, ..self }
    }
}
