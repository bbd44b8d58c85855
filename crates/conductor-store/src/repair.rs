//! Mend what diverges from the events.

use crate::{Divergence, Environment, Scope};
use conductor_model::{RunId, Timestamp};

/// Mend what a [`Verify`](crate::Verify) finds, as far as the events say how it was: states and numbers are written anew,
/// children that are missing are created again, what no event tells of is removed.
///
/// It reads like a verification, and mends in bounded transactions, each of which looks again before it changes anything.
#[derive(Clone, Copy, Debug)]
pub struct Repair {
    /// Which runs; with all of them also what belongs to none.
    pub scope: Scope,
    /// Goes on behind this: what the last call said as `next`; 0 from the beginning.
    pub cursor: u64,
    /// The call ends after the run with which it has looked at so many events; 0 counts as 1.
    pub limit: u64,
    /// How many rows one transaction mends at most; 0 counts as 1.
    pub rows: u32,
    /// The present moment.
    pub now: Timestamp,
}

impl Repair {
    /// Repairs all runs, and what belongs to none: a million events per call.
    pub fn all(env: &Environment) -> Self {
        Self { scope: Scope::All, cursor: 0, limit: 1_000_000, rows: 500, now: env.now() }
    }

    /// Repairs one run.
    pub fn run(run: RunId, env: &Environment) -> Self {
        Self { scope: Scope::Run(run), ..Self::all(env) }
    }

    /// The same, going on behind the place where the last call stopped.
    #[must_use]
    pub fn after(self, next: u64) -> Self {
        Self { cursor: next, ..self }
    }
}

/// What a repair did.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Runs that were looked at.
    pub runs: u64,
    /// What was mended.
    pub repaired: Vec<RepairedItem>,
    /// What could not be.
    pub unrepairable: Vec<UnrepairableItem>,
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
}

/// What was mended, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairedItem {
    /// How it was.
    pub divergence: Divergence,
    /// What was done.
    pub action: String,
}

/// What could not be mended, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnrepairableItem {
    /// How it is.
    pub divergence: Divergence,
    /// Why it stays so.
    pub reason: String,
}
