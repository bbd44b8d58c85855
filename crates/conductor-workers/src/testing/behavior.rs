//! What a scripted handler does.

use crate::TaskError;
use conductor_model::{AttemptFailure, Json};
use conductor_store::AttemptResult;
use serde::Serialize;
use std::time::Duration;

/// What a scripted handler does: how long it takes, and how it ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Behavior {
    pub(super) takes: Duration,
    pub(super) end: Outcome,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    Returns(AttemptResult),
    /// The engine's process dies.
    Crashes,
    /// The engine's process stands still for so long, and then this ends well.
    Stalls(Duration),
    /// It goes on for ever, whatever it is told.
    Hangs,
}

impl Behavior {
    fn returning(ending: AttemptResult) -> Self {
        Self { takes: Duration::ZERO, end: Outcome::Returns(ending) }
    }

    /// It ends well, without an output.
    pub fn succeed() -> Self {
        Self::returning(AttemptResult::Succeeded { output: None })
    }

    /// It ends well, and this comes out of it.
    pub fn succeed_with(output: impl Serialize) -> Self {
        Self::returning(match Json::of(&output) {
            Ok(output) => AttemptResult::Succeeded { output: Some(output) },
            Err(issue) => AttemptResult::Failed(AttemptFailure::fatal(issue.to_string())),
        })
    }

    /// It fails.
    pub fn fail(error: TaskError) -> Self {
        Self::returning(AttemptResult::Failed(error.into_failure()))
    }

    /// The process of its engine dies, and another engine starts a second later.
    pub fn crash() -> Self {
        Self { takes: Duration::ZERO, end: Outcome::Crashes }
    }

    /// The process of its engine stands still for so long, as if it were stopped, and comes back to it then.
    pub fn stall(time: Duration) -> Self {
        Self { takes: Duration::ZERO, end: Outcome::Stalls(time) }
    }

    /// It goes on for ever, and never hears that its time is over. A run in which nothing else is left and nothing ends it, for
    /// want of a timeout, is [`RunError::Blocked`](crate::RunError::Blocked).
    pub fn hang() -> Self {
        Self { takes: Duration::MAX, end: Outcome::Hangs }
    }

    /// It takes so long until then.
    pub fn after(mut self, time: Duration) -> Self {
        self.takes = time;
        self
    }
}
