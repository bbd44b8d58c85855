//! The behavior of a scripted handler.

use crate::handler::TaskError;
use conductor_model::{AttemptFailure, Json};
use conductor_store::AttemptResult;
use serde::Serialize;
use std::time::Duration;

/// How long a scripted handler takes, and how its attempt ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Behavior {
    pub(super) duration: Duration,
    pub(super) outcome: Outcome,
}

/// How an attempt ends in a simulation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    Returns(AttemptResult),
    /// The process of the engine dies.
    Crashes,
    /// The process of the engine is suspended for this time; then the handler succeeds.
    Stalls(Duration),
    /// The handler never returns.
    Hangs,
}

impl Behavior {
    fn new(outcome: Outcome) -> Self {
        Self { duration: Duration::ZERO, outcome }
    }

    /// Succeeds without an output.
    pub fn succeed() -> Self {
        Self::new(Outcome::Returns(AttemptResult::Succeeded { output: None }))
    }

    /// Succeeds with this output.
    pub fn succeed_with(output: impl Serialize) -> Self {
        Self::new(Outcome::Returns(match Json::of(&output) {
            Ok(output) => AttemptResult::Succeeded { output: Some(output) },
            Err(issue) => AttemptResult::Failed(AttemptFailure::fatal(issue.to_string())),
        }))
    }

    /// Fails with this error.
    pub fn fail(error: TaskError) -> Self {
        Self::new(Outcome::Returns(AttemptResult::Failed(error.into_failure())))
    }

    /// Crashes the process of its engine. Another engine starts a second later.
    pub fn crash() -> Self {
        Self::new(Outcome::Crashes)
    }

    /// Suspends the process of its engine for `time`, and then succeeds.
    pub fn stall(time: Duration) -> Self {
        Self::new(Outcome::Stalls(time))
    }

    /// Never returns, and ignores its timeout. If nothing else of a run is left, and no timeout ends the attempt, the run is
    /// [`RunError::Blocked`](crate::RunError::Blocked).
    pub fn hang() -> Self {
        Self { duration: Duration::MAX, outcome: Outcome::Hangs }
    }

    /// Sets how long the attempt takes. Default: no time.
    pub fn after(mut self, time: Duration) -> Self {
        self.duration = time;
        self
    }
}
