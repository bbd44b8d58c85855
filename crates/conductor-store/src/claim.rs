//! Claim ready leaves: a lease and a fence for each.

use crate::{EngineKey, Environment};
use conductor_model::{Json, Kind, RunId, TaskId, Timestamp};

/// Claim ready leaves, of these kinds and at most so many.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Who claims.
    pub engine: EngineKey,
    /// What it handles, in the order in which kinds take turns.
    pub quotas: Vec<KindQuota>,
    /// How many leaves of all kinds together, at most.
    pub limit: u32,
    /// How long the lease lasts unless it is renewed, in milliseconds; a longer one than
    /// [`MAX_LEASE_MS`](conductor_model::MAX_LEASE_MS) counts as that.
    pub lease_ms: u64,
    /// Whether a task that is to be run alone may be among them; at most one is.
    pub allow_isolated: bool,
    /// The present moment.
    pub now: Timestamp,
}

impl Claim {
    /// Claims as much as is wanted of each kind now, and none that is to be run alone.
    ///
    /// ```
    /// use conductor_store::{Claim, RegisterEngine, Environment, SqliteStore, Store, KindQuota};
    ///
    /// let store = SqliteStore::open_in_memory()?;
    /// let env = Environment::system();
    /// let registration = store.register_engine(&RegisterEngine::new(&env))?;
    /// let quotas = vec![KindQuota::new("resize".parse()?, 10), KindQuota::new("mail".parse()?, 10)];
    /// let claim = Claim::new(registration.key(), quotas, 30_000, &env).at_most(16);
    /// assert!(store.claim(&claim)?.tasks.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(holder: EngineKey, wants: Vec<KindQuota>, lease_ms: u64, env: &Environment) -> Self {
        let limit = wants.iter().fold(0, |limit: u32, want| limit.saturating_add(want.limit));
        Self { engine: holder, quotas: wants, limit, lease_ms, allow_isolated: false, now: env.now() }
    }

    /// At most so many of all kinds together.
    pub fn at_most(self, limit: u32) -> Self {
        Self { limit, ..self }
    }

    /// Whether a task that is to be run alone may be among them: not while the claimant holds one.
    pub fn allow_isolated(self, alone: bool) -> Self {
        Self { allow_isolated: alone, ..self }
    }
}

/// One kind that an engine handles.
#[derive(Clone, Debug)]
pub struct KindQuota {
    /// The kind.
    pub kind: Kind,
    /// How many leaves of it, at most.
    pub limit: u32,
    /// Where the last claim of this kind stopped.
    pub cursor: RotationCursor,
}

impl KindQuota {
    /// At most so many of a kind, from the beginning of the rotation.
    pub fn new(kind: Kind, limit: u32) -> Self {
        Self { kind, limit, cursor: RotationCursor::default() }
    }

    /// Goes on where the last claim of this kind stopped.
    pub fn after(self, turn: RotationCursor) -> Self {
        Self { cursor: turn, ..self }
    }
}

/// Where a claim or a fan-out stopped in the rotation over the runs, by the store's own number: the next one goes on behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RotationCursor(pub u64);

/// What was claimed.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimOutcome {
    /// The tasks, in the order in which they are to be started.
    pub tasks: Vec<ClaimedTask>,
    /// For each kind that was wanted, where the next claim goes on.
    pub cursors: Vec<RotationCursor>,
    /// Whether the limits and not the work ended it: another claim may find more.
    pub more: bool,
    /// How many more were found and ended instead: FAILED, for another program made them, their run or their parent
    /// unreadable, or CANCELLED, for something above them is marked.
    pub rejected: u32,
}

/// A leaf that its claimant may work on until its lease ends.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedTask {
    /// What renewing, releasing and settling it name.
    pub fence: Fence,
    /// Its run.
    pub run: RunId,
    /// Its parent; `None` for a root task.
    pub parent: Option<TaskId>,
    /// Its ordinal among its siblings, from 1.
    pub index: u32,
    /// Which of the wanted kinds it has: a place in [`Claim::wants`].
    pub quota_index: usize,
    /// What it works on.
    pub input: Option<Json>,
    /// How often it was retried.
    pub retry_count: u32,
    /// How long this attempt may take, in milliseconds.
    pub timeout_ms: Option<u32>,
    /// Whether it is to be run when no other such task runs in the same engine.
    pub isolated: bool,
}

/// Names one attempt of one task: the fence of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The task.
    pub task: TaskId,
    /// The store's own number for it, never used again for another.
    pub key: u64,
    /// The attempt.
    pub attempt: u32,
}

/// What became of something that names a fence.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceOutcome {
    /// The fence held, and it was written.
    Applied,
    /// The claim is no longer there: nothing changed for this one.
    Stale,
}
