//! Why a run or a task is where it is, as data and as words.

use crate::id::{EngineId, RunId, TaskId};
use crate::name::{Kind, TaskName};
use crate::policy::CancelCause;
use crate::record::ErrorText;
use crate::time::Timestamp;
use crate::transition::State;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a run or a task is where it is.
///
/// What waits for something below it says so, and the explanation of that follows: from a run down to the leaf at which
/// it hangs.
///
/// ```
/// use conductor_model::{Explanation, StateReason, RunId, State, ExplainTarget, Timestamp};
///
/// let until = Timestamp::from_millis(0)?;
/// let (subject, state) = (ExplainTarget::Run(RunId::from_u128(1)), State::Pending);
/// let reason = StateReason::Delayed { until, engines: None };
/// let delayed = Explanation { subject, state, reason, because: None };
/// assert_eq!(
///     delayed.to_string(),
///     "run 00000000000000000000000001 is PENDING: delayed until 1970-01-01T00:00:00.000Z"
/// );
/// # Ok::<(), conductor_model::TimestampOutOfRange>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// What is explained.
    #[serde(flatten)]
    pub target: ExplainTarget,
    /// Its state.
    pub state: State,
    /// Why it is in that state.
    pub reason: StateReason,
    /// What it waits for, explained in turn; absent where there is nothing, or where it is one of so many children that it
    /// was not found among those that were looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caused_by: Option<Box<Explanation>>,
}

impl Explanation {
    /// The reason at the bottom: why what it waits for is where it is.
    pub fn root_cause(&self) -> &StateReason {
        self.caused_by.as_ref().map_or(&self.reason, |because| because.root_cause())
    }
}

/// What is explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExplainTarget {
    /// A run.
    Run(RunId),
    /// A task.
    Task {
        /// Its id.
        id: TaskId,
        /// Its name.
        name: TaskName,
    },
}

/// Why something is where it is, or stuck there.
///
/// Where the next step of an engine would let it go on, `engines` says how many work on the store: with none it stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StateReason {
    /// It SUCCEEDED.
    Succeeded,
    /// It failed for good.
    Failed {
        /// Why; absent on a parent or run, which follows from what is below it.
        error: Option<ErrorText>,
        /// How many children failed; 0 on a leaf.
        failed_children: u32,
    },
    /// Its join failed for good, over children whose failures, if there were any, are tolerated.
    JoinFailed,
    /// It was cancelled.
    Cancelled {
        /// By what; `None` when children that were cancelled made it so, or a report from outside.
        cause: Option<CancelCause>,
        /// Why, in the words of whoever did it.
        reason: Option<ErrorText>,
    },
    /// It, or something above it, is marked: what is open of it is being cancelled.
    BeingCancelled {
        /// By what.
        cause: CancelCause,
        /// Why, in the words of whoever did it.
        reason: Option<ErrorText>,
        /// How many children are still open; 0 on a leaf.
        open: u32,
        /// How many engines work.
        engines: u32,
    },
    /// It failed, and its retry is due at a time.
    RetryDue {
        /// When.
        at: Timestamp,
        /// How often it was retried.
        retry_count: u32,
        /// How often it may be.
        max_retries: u32,
        /// Why it failed.
        error: Option<ErrorText>,
        /// How many engines work, if that time has come; `None` before.
        engines: Option<u32>,
    },
    /// It is not to be started before a time.
    Delayed {
        /// That time.
        until: Timestamp,
        /// How many engines work, if that time has come; `None` before.
        engines: Option<u32>,
    },
    /// Its children are still being created.
    CreatingChildren {
        /// How many exist.
        children: u32,
        /// How many there will be.
        total: u32,
        /// When its row last changed.
        since: Timestamp,
        /// How many engines work.
        engines: u32,
    },
    /// It waits for its children, or a run for its root tasks.
    WaitingForChildren {
        /// How many are open.
        open: u32,
        /// How many exist.
        children: u32,
    },
    /// Its fan-out is open, and all that was appended is settled.
    WaitingForAppend {
        /// How many children exist.
        children: u32,
        /// The last append, or its creation.
        since: Timestamp,
    },
    /// Its children are settled, and its join is open.
    WaitingForJoin,
    /// All below it is settled: the next step decides it.
    ReadyToAggregate {
        /// Since when.
        since: Timestamp,
        /// How many engines work.
        engines: u32,
    },
    /// It is ready, and no engine that works on the store handles its kind.
    NoEngineForKind {
        /// The kind.
        kind: Kind,
        /// Since when it is ready.
        since: Timestamp,
    },
    /// It is ready, and the engines that handle its kind run as many of them as they may.
    AtConcurrencyLimit {
        /// The kind.
        kind: Kind,
        /// How many of the kind may run.
        limit: u32,
        /// Since when it is ready.
        since: Timestamp,
    },
    /// It is ready, and waits for its turn.
    Ready {
        /// Since when.
        since: Timestamp,
        /// How many engines handle its kind.
        engines: u32,
        /// Leases were lost over it in a row: it is run when no other such task runs in the same engine.
        isolated: bool,
    },
    /// An engine holds it.
    Claimed {
        /// Which; `None` when it is no longer registered.
        engine: Option<EngineId>,
        /// Whether that engine lives.
        engine_alive: bool,
        /// Which attempt it makes.
        attempt: u32,
        /// When its lease ends if it is not renewed.
        until: Timestamp,
        /// The last heartbeat, or the claim.
        heartbeat: Timestamp,
        /// How many engines work, if its engine is gone or its lease is over, so that one takes it back; `None` else.
        engines: Option<u32>,
    },
    /// Somebody outside works on it.
    RunningExternally {
        /// The last report.
        since: Timestamp,
    },
    /// An attempt at it is over, but its handler ignores that and goes on.
    HandlerOverran,
}

impl StateReason {
    /// Whether it lies with a child, of which an explanation goes on if it was found.
    fn is_of_a_child(&self) -> bool {
        match self {
            Self::WaitingForChildren { .. } => true,
            Self::Failed { error: None, failed_children: count, .. }
            | Self::BeingCancelled { open: count, .. } => *count > 0,
            _ => false,
        }
    }

    /// Whether it can only go on when a person or another program does something.
    pub fn needs_intervention(&self) -> bool {
        match self {
            Self::WaitingForAppend { .. } | Self::NoEngineForKind { .. } | Self::RunningExternally { .. } => {
                true
            }
            Self::CreatingChildren { engines, .. }
            | Self::ReadyToAggregate { engines, .. }
            | Self::BeingCancelled { engines, .. } => *engines == 0,
            Self::Delayed { engines, .. }
            | Self::RetryDue { engines, .. }
            | Self::Claimed { engines, .. } => *engines == Some(0),
            _ => false,
        }
    }
}

impl fmt::Display for ExplainTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(id) => write!(f, "run {id}"),
            Self::Task { id, name } => write!(f, "task {name} ({id})"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: {}", self.target, self.state, self.reason)?;
        match &self.caused_by {
            Some(below) => write!(f, "; {below}"),
            None if self.reason.is_of_a_child() => {
                f.write_str("; which of them was not looked for any further")
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for StateReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => f.write_str("it ended well"),
            Self::Failed { error: Some(error), .. } => write!(f, "it failed for good: {error}"),
            Self::Failed { failed_children, .. } => {
                write!(f, "{failed_children} right below it failed for good")
            }
            Self::JoinFailed => f.write_str("its join failed for good"),
            Self::Cancelled { cause: None, reason: None } => f.write_str("it was cancelled"),
            Self::Cancelled { cause: by, reason } => write!(f, "cancelled{}", By(*by, reason.as_ref())),
            Self::BeingCancelled { cause: by, reason, open, engines } => {
                let by = By(Some(*by), reason.as_ref());
                write!(f, "being cancelled{by}")?;
                if *open > 0 {
                    write!(f, "; {open} right below it are still open")?;
                }
                f.write_str(nobody_works(*engines))
            }
            Self::RetryDue { at, retry_count, max_retries, error, engines } => {
                write!(f, "retry {} of {max_retries} is due {}", retry_count + 1, When("at", *at, *engines))?;
                error.as_ref().map_or(Ok(()), |error| write!(f, ", after: {error}"))
            }
            Self::Delayed { until, engines } => {
                let what = if engines.is_some() { "due" } else { "delayed" };
                write!(f, "{what} {}", When("until", *until, *engines))
            }
            Self::CreatingChildren { children, total, since, engines } => {
                write!(f, "{children} of its {total} children exist, the others are ")?;
                let being = if *engines == 0 { "to be" } else { "being" };
                write!(f, "{being} created since {since}{}", nobody_works(*engines))
            }
            Self::WaitingForChildren { open, children } => {
                write!(f, "waits for {open} of {children} children")
            }
            Self::WaitingForAppend { children, since } => {
                write!(
                    f,
                    "open, and its {children} children are settled: no append and no seal since {since}"
                )
            }
            Self::WaitingForJoin => f.write_str("its children are settled, and its join is not"),
            Self::ReadyToAggregate { since, engines: 0 } => {
                write!(f, "all below it is settled since {since}{}", nobody_works(0))
            }
            Self::ReadyToAggregate { since, .. } => {
                write!(f, "all below it is settled since {since}: an engine's next step decides it")
            }
            Self::NoEngineForKind { kind, since } => {
                write!(f, "ready since {since}, but no engine handles kind {kind}")
            }
            Self::AtConcurrencyLimit { kind, limit, since } => {
                write!(f, "ready since {since}, but {limit} of kind {kind} run already, and no more may")
            }
            Self::Ready { since, engines, isolated: alone } => {
                write!(f, "ready since {since}, waits for its turn among what {engines} engines handle")?;
                if *alone {
                    f.write_str("; leases were lost over it, so that it runs beside no other such task")?;
                }
                Ok(())
            }
            Self::Claimed { engine, engine_alive, attempt, until, heartbeat, engines } => {
                let by = match engine {
                    Some(engine) if *engine_alive => format!("engine {engine}"),
                    Some(engine) => format!("engine {engine}, which is gone,"),
                    None => "an engine that is gone".into(),
                };
                write!(f, "attempt {attempt} is held by {by} until {until}, last heartbeat {heartbeat}")?;
                match engines {
                    None => Ok(()),
                    Some(0) => f.write_str(nobody_works(0)),
                    Some(_) => f.write_str("; an engine's next step takes it back"),
                }
            }
            Self::RunningExternally { since } => {
                write!(f, "held from outside: started by a report, last heard of at {since}")
            }
            Self::HandlerOverran => {
                f.write_str("an earlier attempt at it is over, and its handler ignores that and goes on")
            }
        }
    }
}

/// When something is due: before that time the word that belongs to it, and afterwards who takes it up.
struct When(&'static str, Timestamp, Option<u32>);

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(before, at, engines) = self;
        match engines {
            None => write!(f, "{before} {at}"),
            Some(0) => write!(f, "since {at}{}", nobody_works(0)),
            Some(_) => write!(f, "since {at}: an engine's next step takes it up"),
        }
    }
}

/// What is said where a step would do something, and no engine works that takes one.
fn nobody_works(engines: u32) -> &'static str {
    if engines == 0 { ", but no engine is working" } else { "" }
}

/// Who cancelled something, and why.
struct By<'a>(Option<CancelCause>, Option<&'a ErrorText>);

impl fmt::Display for By<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            None => "",
            Some(CancelCause::Requested) => " by a person",
            Some(CancelCause::Deadline) => " because the run's deadline passed",
            Some(CancelCause::FailFast) => " because a child failed and the policy fails fast",
            Some(CancelCause::Ancestor) => " with something above it",
        })?;
        self.1.map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}
