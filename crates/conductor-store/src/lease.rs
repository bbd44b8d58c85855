//! Renew leases, give claims back, and take lost ones back.

use crate::{Environment, Fence};
use conductor_model::{Jitter, Timestamp};

/// Renew the leases of claims: the heartbeat of an engine, in one transaction.
#[derive(Clone, Debug)]
pub struct Renew {
    /// The claims.
    pub fences: Vec<Fence>,
    /// How long the leases last from now on, in milliseconds; a longer one than
    /// [`MAX_LEASE_MS`](conductor_model::MAX_LEASE_MS) counts as that.
    pub lease_ms: u64,
    /// The present moment.
    pub now: Timestamp,
}

/// Hand claimed work back unfinished: it is PENDING again, with all its retries.
#[derive(Clone, Debug)]
pub struct Release {
    /// The claims.
    pub fences: Vec<Fence>,
    /// The present moment.
    pub now: Timestamp,
}

/// Take back claims whose lease is over or whose holder is gone: each of these attempts failed.
#[derive(Clone, Copy, Debug)]
pub struct Rescue {
    /// The present moment.
    pub now: Timestamp,
    /// The bound of the transaction; 0 counts as 1.
    pub limit: u32,
    /// Chance for the jitter of retries.
    pub jitter: Jitter,
}

impl Renew {
    /// Renews these now.
    pub fn new(fences: Vec<Fence>, lease_ms: u64, env: &Environment) -> Self {
        Self { fences, lease_ms, now: env.now() }
    }
}

impl Release {
    /// Hands these back now.
    pub fn new(fences: Vec<Fence>, env: &Environment) -> Self {
        Self { fences, now: env.now() }
    }
}

impl Rescue {
    /// A rescue of at most `limit` claims now, with chance from the source.
    pub fn new(limit: u32, env: &Environment) -> Self {
        Self { now: env.now(), limit, jitter: env.jitter() }
    }
}
