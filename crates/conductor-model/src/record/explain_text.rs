//! The sentences of explanations.

use super::explain::{ExplainTarget, Explanation, StateReason};
use crate::id::EngineId;
use crate::state::CancelCause;
use crate::text::ErrorText;
use crate::time::Timestamp;
use std::borrow::Cow;
use std::fmt;

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
            Some(cause) => write!(f, "; {cause}"),
            None if self.reason.depends_on_child() => {
                f.write_str("; the child that causes this was not found among the searched children")
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for StateReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sentence(self))
    }
}

fn sentence(reason: &StateReason) -> Cow<'static, str> {
    let sentence = match reason {
        StateReason::Succeeded => return "it succeeded".into(),
        StateReason::JoinFailed => return "its join failed permanently".into(),
        StateReason::WaitingForJoin => return "its children are settled, and its join is not".into(),
        StateReason::HandlerOverran => {
            return "the handler of an earlier attempt is still running, although that attempt is over"
                .into();
        }
        StateReason::Failed { error, failed_children } => failed(error.as_ref(), *failed_children),
        StateReason::Cancelled { cause, reason } => cancelled(*cause, reason.as_ref()),
        StateReason::BeingCancelled { cause, reason, open, engines } => {
            being_cancelled(&by_cause(Some(*cause), reason.as_ref()), *open, *engines)
        }
        StateReason::RetryDue { at, retry_count, max_retries, error, engines } => {
            let (retry, due) = (retry_count + 1, due(*at, *engines));
            format!("retry {retry} of {max_retries} is due {due}{}", last_error(error.as_ref()))
        }
        StateReason::Delayed { until, engines: None } => format!("delayed until {until}"),
        StateReason::Delayed { until, engines } => format!("due {}", due(*until, *engines)),
        StateReason::CreatingChildren { children, total, since, engines } => {
            let creation = if *engines == 0 { "waiting to be created" } else { "being created" };
            let creation = format!("{creation} since {since}{}", but_no_engine(*engines));
            format!("{children} of {total} children exist; the others are {creation}")
        }
        StateReason::WaitingForChildren { open, children } => {
            format!("waits for {open} of {children} children")
        }
        StateReason::WaitingForAppend { children, since } => {
            format!("open, and all {children} children are settled: no append and no seal since {since}")
        }
        StateReason::ReadyToAggregate { since, engines } => ready_to_aggregate(*since, *engines),
        StateReason::NoEngineForKind { kind, since } => {
            format!("ready since {since}, but no engine handles kind {kind}")
        }
        StateReason::AtConcurrencyLimit { kind, limit, since } => {
            format!("ready since {since}, but the limit of {limit} running tasks of kind {kind} is reached")
        }
        StateReason::Ready { since, engines, isolated } => ready(*since, *engines, *isolated),
        StateReason::Claimed { engine, engine_alive, attempt, until, heartbeat, engines } => {
            let claim = format!("attempt {attempt} is claimed by {}", claimed_by(*engine, *engine_alive));
            format!("{claim} until {until}, last heartbeat {heartbeat}{}", rescue(*engines))
        }
        StateReason::RunningExternally { since } => {
            format!("running in another program, which reported last at {since}")
        }
    };
    sentence.into()
}

fn failed(error: Option<&ErrorText>, failed_children: u32) -> String {
    match (error, failed_children) {
        (Some(error), _) => format!("it failed permanently: {error}"),
        (None, 1) => "1 child failed permanently".into(),
        (None, children) => format!("{children} children failed permanently"),
    }
}

fn cancelled(cause: Option<CancelCause>, reason: Option<&ErrorText>) -> String {
    if cause.is_none() && reason.is_none() {
        return "it was cancelled".into();
    }
    format!("cancelled{}", by_cause(cause, reason))
}

fn being_cancelled(cause: &str, open: u32, engines: u32) -> String {
    let open = match open {
        0 => String::new(),
        1 => "; 1 child is still open".into(),
        open => format!("; {open} children are still open"),
    };
    format!("being cancelled{cause}{open}{}", but_no_engine(engines))
}

fn ready_to_aggregate(since: Timestamp, engines: u32) -> String {
    let next = if engines == 0 { but_no_engine(0) } else { "; an engine decides it in its next step" };
    format!("all its children are settled since {since}{next}")
}

fn ready(since: Timestamp, engines: u32, isolated: bool) -> String {
    let handled = match engines {
        1 => "1 engine handles its kind".into(),
        engines => format!("{engines} engines handle its kind"),
    };
    let isolated = if isolated {
        "; isolated after lost leases: an engine runs at most one such task at a time"
    } else {
        ""
    };
    format!("ready since {since}; waits for a free worker ({handled}){isolated}")
}

fn claimed_by(engine: Option<EngineId>, is_alive: bool) -> String {
    match engine {
        Some(engine) if is_alive => format!("engine {engine}"),
        Some(engine) => format!("engine {engine}, which is not running,"),
        None => "an engine that is no longer registered".into(),
    }
}

fn rescue(engines: Option<u32>) -> &'static str {
    match engines {
        None => "",
        Some(0) => but_no_engine(0),
        Some(_) => "; an engine rescues it in its next step",
    }
}

/// Returns the time, and once it has come, the step that continues the work.
fn due(at: Timestamp, engines: Option<u32>) -> String {
    match engines {
        None => format!("at {at}"),
        Some(0) => format!("since {at}{}", but_no_engine(0)),
        Some(_) => format!("since {at}; an engine takes it up in its next step"),
    }
}

fn last_error(error: Option<&ErrorText>) -> String {
    error.map_or_else(String::new, |error| format!("; last error: {error}"))
}

fn but_no_engine(engines: u32) -> &'static str {
    if engines == 0 { ", but no engine is working" } else { "" }
}

fn by_cause(cause: Option<CancelCause>, reason: Option<&ErrorText>) -> String {
    let cause = match cause {
        None => "",
        Some(CancelCause::Requested) => " on request",
        Some(CancelCause::Deadline) => " because the run's deadline passed",
        Some(CancelCause::FailFast) => " because a child failed and the policy is fail-fast",
        Some(CancelCause::Ancestor) => " together with an ancestor",
    };
    reason.map_or_else(|| cause.into(), |reason| format!("{cause}: {reason}"))
}
