//! Renews leases, releases claims, and rescues tasks of lost claims.

use crate::{Environment, Fence};
use conductor_model::{Jitter, Timestamp};

/// A request to renew leases, in one transaction: the heartbeat of an engine.
#[derive(Clone, Debug)]
pub struct Renew {
    /// The claims.
    pub fences: Vec<Fence>,
    /// The duration of the leases from now in milliseconds, at most [`MAX_LEASE_MS`](conductor_model::MAX_LEASE_MS); a larger
    /// value counts as that.
    pub lease_ms: u64,
    /// The present moment.
    pub now: Timestamp,
}

/// A request to release claims. Their tasks are PENDING again, and lose no retry.
#[derive(Clone, Debug)]
pub struct Release {
    /// The claims.
    pub fences: Vec<Fence>,
    /// The present moment.
    pub now: Timestamp,
}

/// A request to fail the attempts whose lease has expired or whose engine is gone.
#[derive(Clone, Copy, Debug)]
pub struct Rescue {
    /// The present moment.
    pub now: Timestamp,
    /// The largest number of claims in this transaction; 0 counts as 1.
    pub limit: u32,
    /// The random number for the delays of retries.
    pub jitter: Jitter,
}

impl Renew {
    /// Creates a request. The time comes from `env`.
    pub fn new(fences: Vec<Fence>, lease_ms: u64, env: &Environment) -> Self {
        Self { fences, lease_ms, now: env.now() }
    }
}

impl Release {
    /// Creates a request. The time comes from `env`.
    pub fn new(fences: Vec<Fence>, env: &Environment) -> Self {
        Self { fences, now: env.now() }
    }
}

impl Rescue {
    /// Creates a request for at most `limit` claims. Time and randomness come from `env`.
    pub fn new(limit: u32, env: &Environment) -> Self {
        Self { now: env.now(), limit, jitter: env.jitter() }
    }
}
