//! The next decision about a parent or a run: wait, cancel its open children, start its join, or settle.

use super::counts::ChildCounts;
use super::node::{Signal, State};
use super::policy::Policy;
use serde::{Deserialize, Serialize};

/// Why a parent or a run is being cancelled, or was cancelled.
///
/// Below such a node, nothing is created, started, appended or sealed any more. Its open children are cancelled, and
/// then it settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelCause {
    /// A caller cancelled it.
    Requested,
    /// The deadline of the run passed.
    Deadline,
    /// A child failed permanently, and the policy is [`Policy::FailFast`].
    FailFast,
    /// An ancestor is being cancelled.
    Ancestor,
}

impl CancelCause {
    /// All causes, in the order of their codes.
    pub const ALL: [Self; 4] = [Self::Requested, Self::Deadline, Self::FailFast, Self::Ancestor];

    /// Returns the state in which a node with this cause settles: FAILED for fail-fast, CANCELLED otherwise.
    pub fn final_state(self) -> State {
        match self {
            Self::FailFast => State::Failed,
            Self::Requested | Self::Deadline | Self::Ancestor => State::Cancelled,
        }
    }

    /// Returns the code that every store writes for this cause. Codes start at 1 and never change.
    pub fn code(self) -> i64 {
        match self {
            Self::Requested => 1,
            Self::Deadline => 2,
            Self::FailFast => 3,
            Self::Ancestor => 4,
        }
    }

    /// Returns the cause with this [code](Self::code).
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.code() == code)
    }
}

/// The status of the join of a parent or a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinStatus {
    /// There is no join.
    #[default]
    None,
    /// The join starts when all children are settled and the policy is satisfied.
    NotStarted,
    /// The join is not settled.
    Open,
    /// The join settled in this state.
    Settled(State),
}

impl JoinStatus {
    /// Returns whether there is a join.
    pub fn has_join(self) -> bool {
        self != Self::None
    }
}

/// The properties of a parent or a run on which its decision depends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentStatus {
    /// The counts of its children.
    pub counts: ChildCounts,
    /// How failures of its children count.
    pub policy: Policy,
    /// Why it is being cancelled; `None` if it is not.
    pub cancel_cause: Option<CancelCause>,
    /// The status of its join.
    pub join: JoinStatus,
}

/// The decision on a parent or run.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet: the fan-out is open, children are missing, or a child or the join is not settled.
    Wait,
    /// Its open children are cancelled for this cause.
    CancelOpenChildren(CancelCause),
    /// Its join starts.
    StartJoin,
    /// It settles in this state.
    Settle(State),
}

impl Decision {
    /// Returns the signal that settles the node; `None` if the decision does not settle it.
    pub fn signal(self) -> Option<Signal> {
        match self {
            Self::Settle(state) => state.ended_by(),
            Self::Wait | Self::CancelOpenChildren(_) | Self::StartJoin => None,
        }
    }
}

impl ParentStatus {
    /// Creates a status with the default policy, without a join, and not cancelled.
    pub fn of(counts: ChildCounts) -> Self {
        Self { counts, ..Self::default() }
    }

    /// Decides what follows for the parent or run.
    ///
    /// A node with a cancel cause settles as soon as no child and no join is open, even if children are missing. Its
    /// state is that of the cause, or SUCCEEDED if its join has already succeeded.
    ///
    /// Any other node settles when it is sealed, all its children exist and all are settled. The first rule that
    /// applies gives the state:
    ///
    /// 1. More failures than the policy tolerates: FAILED.
    /// 2. A cancelled child: CANCELLED.
    /// 3. A join: the state of the join, once it has run.
    /// 4. Otherwise: SUCCEEDED.
    pub fn decide(self) -> Decision {
        let counts = self.counts;
        let is_complete = counts.total == Some(counts.created) && counts.open == 0;
        match (self.cancel_cause, self.join) {
            (_, JoinStatus::Open) => Decision::Wait,
            (Some(_), _) if counts.open > 0 => Decision::Wait,
            // A successful join is final, even if the parent was cancelled meanwhile.
            (Some(_), JoinStatus::Settled(State::Succeeded)) => Decision::Settle(State::Succeeded),
            (Some(cause), _) => Decision::Settle(cause.final_state()),
            (None, _) if !is_complete && self.policy == Policy::FailFast && counts.failed > 0 => {
                Decision::CancelOpenChildren(CancelCause::FailFast)
            }
            (None, _) if !is_complete => Decision::Wait,
            (None, _) if !self.policy.tolerates(counts) => Decision::Settle(State::Failed),
            (None, _) if counts.cancelled > 0 => Decision::Settle(State::Cancelled),
            (None, JoinStatus::NotStarted) => Decision::StartJoin,
            (None, JoinStatus::Settled(state)) => Decision::Settle(state),
            (None, JoinStatus::None) => Decision::Settle(State::Succeeded),
        }
    }

    /// Returns whether a node in state `from` passes through RUNNING before the signal settles it.
    ///
    /// A PENDING node does, except if it is cancelled: none of its children ever started.
    pub fn passes_through_running(from: State, signal: Signal) -> bool {
        from == State::Pending && signal != Signal::Cancel
    }

    /// Returns the status after a descendant was revived: without a cancel cause, and with the join not started.
    #[must_use]
    pub fn reopened(self) -> Self {
        let join = if self.join.has_join() { JoinStatus::NotStarted } else { JoinStatus::None };
        Self { cancel_cause: None, join, ..self }
    }
}
