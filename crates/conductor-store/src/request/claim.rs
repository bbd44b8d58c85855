//! Claims ready leaves. Each gets a lease and a fence.

use crate::{ClaimedGroup, ClaimedTask, EngineKey, Environment};
use conductor_model::{Kind, Timestamp};

/// A request for ready leaves of some kinds.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The engine that claims.
    pub engine: EngineKey,
    /// The kinds that the engine handles, in the order of the rotation. A kind that is named again adds to its first limit.
    pub quotas: Vec<KindQuota>,
    /// The largest number of leaves of all kinds together.
    pub limit: u32,
    /// The duration of the leases in milliseconds, at most [`MAX_LEASE_MS`](conductor_model::MAX_LEASE_MS); a larger value
    /// counts as that.
    pub lease_ms: u64,
    /// Whether an isolated task may be among the claimed ones; at most one is.
    pub allow_isolated: bool,
    /// The present moment.
    pub now: Timestamp,
}

impl Claim {
    /// Creates a request for the limit of each kind, without isolated tasks. The time comes from `env`.
    ///
    /// ```
    /// use conductor_store::{Claim, RegisterEngine, Environment, SqliteStore, Store, KindQuota};
    ///
    /// let store = SqliteStore::open_in_memory()?;
    /// let env = Environment::system();
    /// let registration = store.register_engine(&RegisterEngine::new(&env))?;
    /// let quotas = vec![KindQuota::new("resize".parse()?, 10), KindQuota::new("mail".parse()?, 10)];
    /// let claim = Claim::new(registration.key(), quotas, 30_000, &env).at_most(16);
    /// assert!(store.claim(&claim)?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(engine: EngineKey, quotas: Vec<KindQuota>, lease_ms: u64, env: &Environment) -> Self {
        let limit = quotas.iter().fold(0, |limit: u32, quota| limit.saturating_add(quota.limit));
        Self { engine, quotas, limit, lease_ms, allow_isolated: false, now: env.now() }
    }

    /// Sets the largest number of leaves of all kinds together. Default: the sum of the limits.
    pub fn at_most(self, limit: u32) -> Self {
        Self { limit, ..self }
    }

    /// Sets whether an isolated task may be among the claimed ones. An engine must run at most one at a time. Default: no.
    pub fn allow_isolated(self, allow_isolated: bool) -> Self {
        Self { allow_isolated, ..self }
    }
}

/// One kind that an engine handles, and how many leaves of it a claim may return.
#[derive(Clone, Debug)]
pub struct KindQuota {
    /// The kind.
    pub kind: Kind,
    /// The largest number of leaves of this kind.
    pub limit: u32,
    /// The place in the rotation at which the last claim of this kind stopped.
    pub cursor: RotationCursor,
}

impl KindQuota {
    /// Creates a quota at the start of the rotation.
    pub fn new(kind: Kind, limit: u32) -> Self {
        Self { kind, limit, cursor: RotationCursor::default() }
    }

    /// Continues where the last claim of this kind stopped.
    pub fn after(self, cursor: RotationCursor) -> Self {
        Self { cursor, ..self }
    }
}

/// A place in the round-robin rotation over the runs, at which a claim or a fan-out stopped. The number is internal to the
/// store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RotationCursor(pub u64);

/// The outcome of a claim.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimOutcome {
    /// The claimed tasks, in the order in which the engine must start them.
    pub groups: Vec<ClaimedGroup>,
    /// The cursor for the next claim, for each quota of the request.
    pub cursors: Vec<RotationCursor>,
    /// Whether another claim may find work: see [`StepOutcome::more`](crate::StepOutcome::more).
    pub more: bool,
    /// The number of leaves that the store settled instead of claiming them: FAILED if another program made their rows
    /// unreadable, CANCELLED if an ancestor is being cancelled.
    pub rejected: u32,
}

impl ClaimOutcome {
    /// Returns the number of claimed tasks.
    pub fn len(&self) -> u32 {
        self.groups.iter().map(|group| group.fences.offsets.len()).sum()
    }

    /// Returns whether no task was claimed.
    pub fn is_empty(&self) -> bool {
        self.groups.iter().all(|group| group.fences.offsets.is_empty())
    }

    /// Returns the claimed tasks one by one, in their order.
    pub fn tasks(&self) -> Vec<ClaimedTask> {
        self.groups.iter().flat_map(ClaimedGroup::tasks).collect()
    }
}
