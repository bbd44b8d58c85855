//! The steps of the workers: bounded transactions, each of which says whether there is more to do.

use crate::{Environment, RotationCursor, Scope};
use conductor_model::{IdBlock, Timestamp};

/// A bounded step: at most `limit` rows change their state.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Where to look.
    pub scope: Scope,
    /// The present moment.
    pub now: Timestamp,
    /// The bound of the transaction; 0 counts as 1.
    pub limit: u32,
}

impl Step {
    /// A step now.
    pub fn new(scope: Scope, limit: u32, env: &Environment) -> Self {
        Self { scope, now: env.now(), limit }
    }
}

/// A step that creates missing children: at most as many as there are ids, where one that is a parent itself counts twice. Each
/// run gets an equal share of them, but an eighth at least, and what one does not need goes to the others.
#[derive(Clone, Copy, Debug)]
pub struct FanOut {
    /// Where to look.
    pub scope: Scope,
    /// The present moment.
    pub now: Timestamp,
    /// Ids for the children, and the bound of the transaction; without any, nothing happens.
    pub ids: IdBlock,
    /// Where the last step stopped in the rotation over the runs.
    pub cursor: RotationCursor,
}

impl FanOut {
    /// A step now that creates at most so many children, with ids from the source.
    pub fn new(scope: Scope, children: u32, env: &Environment) -> Self {
        Self { scope, now: env.now(), ids: env.ids(children), cursor: RotationCursor::default() }
    }

    /// Goes on where the last step stopped.
    pub fn after(self, turn: RotationCursor) -> Self {
        Self { cursor: turn, ..self }
    }
}

/// What a fan-out step did.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FanOutOutcome {
    /// How many parents got children.
    pub parents: u32,
    /// How many children were created.
    pub children: u32,
    /// Whether the next step has something to do.
    pub more: bool,
    /// Where the next step goes on.
    pub cursor: RotationCursor,
}

/// What an aggregate step did.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AggregateOutcome {
    /// How many parents were decided.
    pub parents: u32,
    /// How many runs were decided.
    pub runs: u32,
    /// Whether the next step has something to do.
    pub more: bool,
}

/// The outcome of a step that changes rows of one sort: a retry, a promotion, an expiry or a rescue.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepOutcome {
    /// How many tasks (or runs, for an expiry) the step changed.
    pub changed: u32,
    /// Whether the limit ended the step, so that another one may find more.
    pub more: bool,
}

/// What a sweep step did.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepOutcome {
    /// How many leaves and joins were cancelled.
    pub tasks: u32,
    /// How many parents were marked.
    pub parents: u32,
    /// Whether the next step has something to do.
    pub more: bool,
}
