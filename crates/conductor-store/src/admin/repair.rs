//! Repairs rows that differ from the events.

use crate::{Divergence, Environment, Scope};
use conductor_model::{RunId, Timestamp};

/// A request to repair the divergences that a [`Verify`](crate::Verify) finds, as far as the events describe the right values.
///
/// A repair writes states and counts again, creates missing children, and deletes rows without an event. It reads like a
/// verification. It repairs in bounded transactions, and each of them compares again before it changes a row.
#[derive(Clone, Copy, Debug)]
pub struct Repair {
    /// The runs to repair. [`Scope::All`] includes rows that belong to no run.
    pub scope: Scope,
    /// The start: [`RepairReport::next`] of the last call, or 0.
    pub cursor: u64,
    /// The call stops after the run with which it has read this many events; 0 counts as 1. Default: 1,000,000.
    pub limit: u64,
    /// The largest number of rows that one transaction repairs; 0 counts as 1. Default: 500.
    pub rows: u32,
    /// The present moment.
    pub now: Timestamp,
}

impl Repair {
    /// Creates a request for all runs, and for rows that belong to no run.
    pub fn all(env: &Environment) -> Self {
        Self { scope: Scope::All, cursor: 0, limit: 1_000_000, rows: 500, now: env.now() }
    }

    /// Creates a request for one run.
    pub fn run(run: RunId, env: &Environment) -> Self {
        Self { scope: Scope::Run(run), ..Self::all(env) }
    }

    /// Continues where the last call stopped: pass its [`RepairReport::next`].
    #[must_use]
    pub fn after(self, cursor: u64) -> Self {
        Self { cursor, ..self }
    }
}

/// The outcome of a repair.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// The number of examined runs.
    pub runs: u64,
    /// The repaired divergences.
    pub repaired: Vec<RepairedItem>,
    /// The divergences that could not be repaired.
    pub unrepairable: Vec<UnrepairableItem>,
    /// The cursor for the next call; `None` at the end.
    pub next: Option<u64>,
}

/// A divergence that was repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairedItem {
    /// The divergence before the repair.
    pub divergence: Divergence,
    /// A description of the repair.
    pub action: String,
}

/// A divergence that could not be repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnrepairableItem {
    /// The divergence, which remains.
    pub divergence: Divergence,
    /// The reason why it could not be repaired.
    pub reason: String,
}
