//! The steps of engines: bounded transactions that report whether more work is left.

use crate::{Environment, RotationCursor, Scope};
use conductor_model::{IdBlock, Timestamp};

/// A bounded step. At most `limit` tasks or runs change their state.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The runs to work on.
    pub scope: Scope,
    /// The present moment.
    pub now: Timestamp,
    /// The largest number of tasks or runs that change; 0 counts as 1. A sweep may change fewer, because it counts rows, too.
    pub limit: u32,
}

impl Step {
    /// Creates a step. The time comes from `env`.
    pub fn new(scope: Scope, limit: u32, env: &Environment) -> Self {
        Self { scope, now: env.now(), limit }
    }
}

/// A step that creates missing children.
///
/// It creates at most as many children as it has ids. A child that is a parent itself counts twice. Each run gets an equal
/// share, and at least an eighth. The other runs get the unused part of a share.
#[derive(Clone, Copy, Debug)]
pub struct FanOut {
    /// The runs to work on.
    pub scope: Scope,
    /// The present moment.
    pub now: Timestamp,
    /// The ids of the children. Their number is the limit of the step; without ids, nothing happens.
    pub ids: IdBlock,
    /// The place in the rotation at which the last step stopped.
    pub cursor: RotationCursor,
}

impl FanOut {
    /// Creates a step for at most `max_children`. Time and ids come from `env`.
    pub fn new(scope: Scope, max_children: u32, env: &Environment) -> Self {
        Self { scope, now: env.now(), ids: env.ids(max_children), cursor: RotationCursor::default() }
    }

    /// Continues where the last step stopped.
    pub fn after(self, cursor: RotationCursor) -> Self {
        Self { cursor, ..self }
    }
}

/// The outcome of a fan-out step.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FanOutOutcome {
    /// The number of parents that got children.
    pub parents: u32,
    /// The number of created children.
    pub children: u32,
    /// Whether another step may find work: see [`StepOutcome::more`].
    pub more: bool,
    /// The cursor for the next step.
    pub cursor: RotationCursor,
}

/// The outcome of an aggregate step.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AggregateOutcome {
    /// The number of parents that were settled, or whose join was started.
    pub parents: u32,
    /// The number of runs that were settled, or whose join was started.
    pub runs: u32,
    /// Whether another step may find work: see [`StepOutcome::more`].
    pub more: bool,
}

/// The outcome of a step that changes one type of row: a retry, a promotion, an expiry or a rescue.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepOutcome {
    /// The number of changed tasks; of runs for an expiry.
    pub changed: u32,
    /// Whether another step may find work. The field `more` has this meaning in every outcome of this crate.
    ///
    /// Repeat the step at once while it is `true`. When it is `false`, no work was left at the time of the step.
    pub more: bool,
}

/// The outcome of a sweep step.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepOutcome {
    /// The number of cancelled leaves and joins.
    pub tasks: u32,
    /// The number of parents that got a cancel cause.
    pub parents: u32,
    /// Whether another step may find work: see [`StepOutcome::more`].
    pub more: bool,
}
