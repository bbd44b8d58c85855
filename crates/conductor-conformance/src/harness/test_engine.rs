//! An engine that the test drives by hand: it claims tasks, and settles, renews and releases them.

use super::{Harness, json_of};
use conductor_model::{AttemptFailure, DEFAULT_LEASE_MS, Json, RunId, TaskId};
use conductor_store::{
    AttemptResult, Claim, ClaimOutcome, ClaimedTask, EngineCapabilities, EngineKey, EngineRegistration,
    Fence, FenceOutcome, KindQuota, RegisterEngine, Release, Renew, RotationCursor, Settle, SettleOutcome,
};
use std::collections::HashMap;

/// Longer than the default lease.
const LOST_LEASE_MS: i64 = 60_000;

/// A registered engine. The registration ends when it is dropped.
pub(crate) struct TestEngine<'h> {
    harness: &'h Harness<'h>,
    registration: EngineRegistration,
}

impl<'h> Harness<'h> {
    /// Registers an engine.
    pub(crate) fn engine(&'h self) -> TestEngine<'h> {
        self.register(&RegisterEngine::new(self.env()))
    }

    /// Registers an engine with the given capabilities.
    pub(crate) fn engine_with(&'h self, capabilities: EngineCapabilities) -> TestEngine<'h> {
        self.register(&RegisterEngine::new(self.env()).capabilities(capabilities))
    }

    fn register(&'h self, request: &RegisterEngine) -> TestEngine<'h> {
        let registration = self.store().register_engine(request).expect("registration succeeds");
        TestEngine { harness: self, registration }
    }
}

/// A request for at most `limit` tasks of a kind.
pub(crate) fn quota(kind: &str, limit: u32) -> KindQuota {
    quota_from(RotationCursor::default(), kind, limit)
}

/// A request for at most `limit` tasks of a kind, which starts after the run of the cursor.
pub(crate) fn quota_from(cursor: RotationCursor, kind: &str, limit: u32) -> KindQuota {
    KindQuota { kind: kind.parse().expect("kind is valid"), limit, cursor }
}

pub(crate) fn fences(claimed: &[ClaimedTask]) -> Vec<Fence> {
    claimed.iter().map(|task| task.fence).collect()
}

pub(crate) fn task_ids(claimed: &[ClaimedTask]) -> Vec<TaskId> {
    claimed.iter().map(|task| task.fence.task).collect()
}

pub(crate) fn success() -> AttemptResult {
    AttemptResult::Succeeded { output: None }
}

pub(crate) fn success_with(output: Json) -> AttemptResult {
    AttemptResult::Succeeded { output: Some(output) }
}

pub(crate) fn failure(error: &str) -> AttemptResult {
    AttemptResult::Failed(AttemptFailure::error(error))
}

/// How many tasks of each run were claimed.
pub(crate) fn claims_per_run(claimed: &[ClaimedTask]) -> HashMap<RunId, usize> {
    let mut counts = HashMap::new();
    for task in claimed {
        *counts.entry(task.run).or_default() += 1;
    }
    counts
}

/// Claims.
impl TestEngine<'_> {
    pub(crate) fn key(&self) -> EngineKey {
        self.registration.key()
    }

    /// A claim with these quotas and a total limit.
    pub(crate) fn claim_request(&self, quotas: impl IntoIterator<Item = KindQuota>, limit: u32) -> Claim {
        Claim {
            engine: self.key(),
            quotas: quotas.into_iter().collect(),
            limit,
            lease_ms: DEFAULT_LEASE_MS,
            allow_isolated: false,
            now: self.harness.now(),
        }
    }

    pub(crate) fn claim_with(&self, request: &Claim) -> ClaimOutcome {
        self.harness.store().claim(request).expect("claim succeeds")
    }

    /// Claims at most `limit` tasks of one kind.
    pub(crate) fn claim(&self, kind: &str, limit: u32) -> Vec<ClaimedTask> {
        self.claim_with(&self.claim_request([quota(kind, limit)], limit)).tasks()
    }

    /// Claims at most `limit` tasks of one kind, of which one may be isolated.
    pub(crate) fn claim_with_isolated(&self, kind: &str, limit: u32) -> Vec<ClaimedTask> {
        let request = Claim { allow_isolated: true, ..self.claim_request([quota(kind, limit)], limit) };
        self.claim_with(&request).tasks()
    }

    /// Claims the only ready task of the kind `A`.
    #[track_caller]
    pub(crate) fn claim_one(&self) -> ClaimedTask {
        let mut claimed = self.claim("A", 10);
        assert_eq!(claimed.len(), 1, "one task is ready");
        claimed.remove(0)
    }

    /// Checks that no task of the kind `A` can be claimed.
    #[track_caller]
    pub(crate) fn assert_nothing_to_claim(&self) {
        let claimed = self.claim("A", 10);
        assert_eq!(claimed.len(), 0, "{claimed:?}");
    }

    /// Returns the claims of this engine that are not in `known`, ordered by key.
    pub(crate) fn unknown_claims(&self, known: &[Fence], limit: u32) -> Vec<Fence> {
        let unknown = self.harness.store().unknown_claims(self.key(), known, limit);
        let mut unknown = unknown.expect("query succeeds");
        unknown.sort_by_key(|fence| fence.key);
        unknown
    }
}

/// Operations on the claims of an engine.
impl TestEngine<'_> {
    pub(crate) fn renew(&self, fences: &[Fence]) -> Vec<FenceOutcome> {
        let request = Renew { fences: fences.to_vec(), lease_ms: DEFAULT_LEASE_MS, now: self.harness.now() };
        self.harness.store().renew(&request).expect("renew succeeds")
    }

    pub(crate) fn release(&self, fences: &[Fence]) -> Vec<FenceOutcome> {
        let request = Release { fences: fences.to_vec(), now: self.harness.now() };
        self.harness.store().release(&request).expect("release succeeds")
    }

    pub(crate) fn settle_request(&self, results: impl IntoIterator<Item = (Fence, AttemptResult)>) -> Settle {
        let (now, jitter) = (self.harness.now(), self.harness.env().jitter());
        Settle { results: results.into_iter().collect(), succeeded: Vec::new(), claim: None, now, jitter }
    }

    pub(crate) fn settle_with(&self, request: &Settle) -> SettleOutcome {
        self.harness.store().settle(request).expect("settle succeeds")
    }

    pub(crate) fn settle(
        &self,
        results: impl IntoIterator<Item = (Fence, AttemptResult)>,
    ) -> Vec<FenceOutcome> {
        self.settle_with(&self.settle_request(results)).results
    }

    /// Settles one claim, and checks that its fence is valid.
    #[track_caller]
    pub(crate) fn settle_one(&self, task: &ClaimedTask, result: AttemptResult) {
        assert_eq!(self.settle([(task.fence, result)]), [FenceOutcome::Applied]);
    }

    /// Checks that every use of the fence is answered with `Stale`, and writes nothing.
    #[track_caller]
    pub(crate) fn assert_stale(&self, fence: Fence) {
        self.harness.writes_nothing(|| {
            assert_eq!(self.renew(&[fence]), [FenceOutcome::Stale]);
            assert_eq!(self.release(&[fence]), [FenceOutcome::Stale]);
            let fatal = AttemptResult::Failed(AttemptFailure::fatal("it is broken"));
            for result in [success(), success_with(json_of("1")), failure("no"), fatal] {
                assert_eq!(self.settle([(fence, result)]), [FenceOutcome::Stale]);
            }
        });
    }
}

/// Lost leases.
impl TestEngine<'_> {
    /// Claims the only ready task, loses its lease, and retries the task.
    #[track_caller]
    pub(crate) fn lose_lease(&self) -> ClaimedTask {
        let claimed = self.claim_one();
        self.harness.advance_ms(LOST_LEASE_MS);
        assert_eq!((self.harness.rescue(), self.harness.retry()), (1, 1));
        claimed
    }

    /// Submits a leaf, and loses its lease twice, so that it is isolated.
    #[track_caller]
    pub(crate) fn isolated_task(&self) -> TaskId {
        let (_, task) = self.harness.submit_leaf();
        self.lose_lease();
        self.lose_lease();
        task
    }
}
