//! Which rows steps look for.

use super::RunKey;
use crate::{Claim, RotationCursor, Scope};
use conductor_model::{Kind, Timestamp};

/// Something that an operation may find to do.
#[derive(Clone, Copy, Debug)]
pub enum Work<'a> {
    /// A ready leaf that the claim wants.
    Claim(&'a Claim),
    /// A parent whose children are missing.
    FanOut(Scope),
    /// A parent or a run below which open tasks must be cancelled.
    Sweep(Scope),
    /// The same in one run.
    SweepRun(RunKey),
    /// A parent or a run that can be decided, or whose counts must be added up.
    Aggregate(Scope),
    /// A task whose time has come.
    Due(DueKind, Scope, Timestamp),
    /// A run whose deadline has passed.
    Expire(Scope, Timestamp),
    /// A claim whose lease is over at this time, or whose engine does not live. The lease was granted or renewed when the
    /// row of the leaf changed last. Also an engine that does not live and has no claim: it is removed.
    LostClaims(Timestamp),
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueKind {
    /// A FAILED task waits for its retry.
    Retry,
    /// A PENDING task waits for its start.
    Start,
}

/// What a run must have to be visited.
#[derive(Clone, Copy, Debug)]
pub enum RunsWith<'a> {
    /// Ready leaves of a kind, which are not isolated.
    Ready(&'a Kind),
    /// Parents whose children are missing.
    FanOut(Scope),
    /// Parents below which open tasks must be cancelled; or it must be swept itself.
    Sweep(Scope),
}

/// The runs that an operation wants to visit, in rotation.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// What they must have.
    pub with: RunsWith<'a>,
    /// The run that was visited last.
    pub after: RotationCursor,
    /// At most this number of runs.
    pub limit: u32,
}

impl RotationCursor {
    /// The rotation continues behind this run.
    pub(crate) fn behind(run: RunKey) -> Self {
        Self(run.0)
    }
}
