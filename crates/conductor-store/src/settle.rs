//! Settle claimed tasks, and make the next claim in the same transaction.

use crate::{Claim, ClaimOutcome, Environment, Fence, FenceOutcome};
use conductor_model::{AttemptFailure, Jitter, Json, Timestamp};

/// Settle claimed tasks, each by itself, and claim the next ones.
#[derive(Clone, Debug)]
pub struct Settle {
    /// What became of which claim; none of them twice.
    pub results: Vec<(Fence, AttemptResult)>,
    /// What to claim in the same transaction.
    pub claim: Option<Claim>,
    /// The present moment.
    pub now: Timestamp,
    /// Chance for the jitter of retries.
    pub jitter: Jitter,
}

impl Settle {
    /// Settles these now, with chance from the source, and claims nothing.
    pub fn new(endings: Vec<(Fence, AttemptResult)>, env: &Environment) -> Self {
        Self { results: endings, claim: None, now: env.now(), jitter: env.jitter() }
    }

    /// Claims this in the same transaction, and at the same moment.
    pub fn and_claim(self, claim: Claim) -> Self {
        Self { claim: Some(Claim { now: self.now, ..claim }), ..self }
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum AttemptResult {
    /// Well.
    Succeeded {
        /// What came out of it.
        output: Option<Json>,
    },
    /// It failed.
    Failed(AttemptFailure),
}

/// What became of the endings, and what was claimed.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettleOutcome {
    /// One answer for each ending, in their order.
    pub results: Vec<FenceOutcome>,
    /// What was claimed.
    pub claimed: ClaimOutcome,
}
