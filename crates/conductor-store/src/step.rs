//! The steps of the workers: bounded transactions, each of which says whether there is more to do.

use crate::{Scope, Source, Turn};
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
    pub fn new(scope: Scope, limit: u32, source: &Source) -> Self {
        Self { scope, now: source.now(), limit }
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
    pub turn: Turn,
}

impl FanOut {
    /// A step now that creates at most so many children, with ids from the source.
    pub fn new(scope: Scope, children: u32, source: &Source) -> Self {
        Self { scope, now: source.now(), ids: source.ids(children), turn: Turn::default() }
    }

    /// Goes on where the last step stopped.
    pub fn after(self, turn: Turn) -> Self {
        Self { turn, ..self }
    }
}

/// What a fan-out step did.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FannedOut {
    /// How many parents got children.
    pub parents: u32,
    /// How many children were created.
    pub children: u32,
    /// Whether the next step has something to do.
    pub more: bool,
    /// Where the next step goes on.
    pub turn: Turn,
}

/// What an aggregate step did.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aggregated {
    /// How many parents were decided.
    pub parents: u32,
    /// How many runs were decided.
    pub runs: u32,
    /// Whether the next step has something to do.
    pub more: bool,
}

/// What a retry step did.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// How many FAILED tasks are PENDING again.
    pub tasks: u32,
    /// Whether the next step has something to do.
    pub more: bool,
}

/// What a promote step did.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promoted {
    /// How many delayed tasks may start now.
    pub tasks: u32,
    /// Whether the next step has something to do.
    pub more: bool,
}

/// What a sweep step did.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many leaves and joins were cancelled.
    pub tasks: u32,
    /// How many parents were marked.
    pub parents: u32,
    /// Whether the next step has something to do.
    pub more: bool,
}

/// What an expire step did.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// How many runs were marked.
    pub runs: u32,
    /// Whether the next step has something to do.
    pub more: bool,
}
