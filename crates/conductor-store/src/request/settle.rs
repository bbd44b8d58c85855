//! Records the results of claimed tasks, and claims the next ones in the same transaction.

use crate::{Claim, ClaimOutcome, Environment, Fence, FenceOutcome, FenceSet, OffsetSet};
use conductor_model::{AttemptFailure, Jitter, Json, Timestamp};

/// A request to record the results of claimed tasks, and to claim the next ones.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The result of each claim. No fence may occur twice, also not among those of `succeeded`.
    pub results: Vec<(Fence, AttemptResult)>,
    /// More claims: those whose attempts succeeded without an output.
    pub succeeded: Vec<FenceSet>,
    /// The next claim, in the same transaction.
    pub claim: Option<Claim>,
    /// The present moment.
    pub now: Timestamp,
    /// The random number for the delays of retries.
    pub jitter: Jitter,
}

impl Settle {
    /// Creates a request without a claim. Time and randomness come from `env`.
    pub fn new(results: Vec<(Fence, AttemptResult)>, env: &Environment) -> Self {
        Self { results, succeeded: Vec::new(), claim: None, now: env.now(), jitter: env.jitter() }
    }

    /// Adds a claim to the same transaction. It gets the time of this request.
    pub fn and_claim(self, claim: Claim) -> Self {
        Self { claim: Some(Claim { now: self.now, ..claim }), ..self }
    }
}

/// The result of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum AttemptResult {
    /// The handler succeeded.
    Succeeded {
        /// The output.
        output: Option<Json>,
    },
    /// The attempt failed.
    Failed(AttemptFailure),
}

/// The outcome of a settlement.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettleOutcome {
    /// One outcome per result, in their order.
    pub results: Vec<FenceOutcome>,
    /// The tasks of each set of `succeeded` whose claims were valid, in the order of the sets. The others have not changed.
    pub succeeded: Vec<OffsetSet>,
    /// The outcome of the claim; empty without a claim.
    pub claimed: ClaimOutcome,
}
