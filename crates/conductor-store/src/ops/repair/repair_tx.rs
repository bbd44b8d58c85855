//! A transaction of a repair, and the result of each of its actions.

use super::ended_joins::EndedJoin;
use crate::backend::WriteTx;
use crate::ops::verify::RunAudit;
use conductor_model::Timestamp;

/// A transaction that repairs rows of one run.
pub(super) struct RepairTx<'t> {
    pub(super) tx: &'t mut dyn WriteTx,
    /// The run, computed from all its events.
    pub(super) audit: &'t mut RunAudit,
    /// The moment of the repair.
    pub(super) now: Timestamp,
    /// What must be decided before the commit.
    pub(super) ended: Vec<EndedJoin>,
}

/// The result of one repair.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It was repaired, with this description.
    Repaired(String),
    /// It is correct already.
    Correct,
    /// It was not repaired, for this reason.
    Impossible(String),
}

impl Outcome {
    /// It was repaired, with this description.
    pub(super) fn repaired(action: &str) -> Self {
        Self::Repaired(action.into())
    }

    /// It was not repaired, for this reason.
    pub(super) fn impossible(reason: &str) -> Self {
        Self::Impossible(reason.into())
    }
}
