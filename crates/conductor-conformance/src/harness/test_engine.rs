//! An engine in the test's hand: it claims, and says what became of it.

use super::World;
use conductor_model::{AttemptFailure, DEFAULT_LEASE_MS, Json};
use conductor_store::{
    AttemptResult, Claim, ClaimOutcome, ClaimedTask, EngineCapabilities, EngineKey, EngineRegistration,
    Fence, FenceOutcome, KindQuota, RegisterEngine, Release, Renew, Rescue, RotationCursor, Settle,
    SettleOutcome, StepOutcome,
};
use std::collections::HashMap;

/// An engine that lives until it is dropped.
pub(crate) struct Hands<'w> {
    world: &'w World<'w>,
    registration: EngineRegistration,
}

impl<'w> World<'w> {
    /// An engine that takes its place.
    pub(crate) fn hands(&'w self) -> Hands<'w> {
        let registration = self.store().register_engine(&RegisterEngine::new(self.env())).expect("a place");
        Hands { world: self, registration }
    }

    /// The same, of one that says what it handles.
    pub(crate) fn hands_that_handle(&'w self, handles: EngineCapabilities) -> Hands<'w> {
        let register_engine = RegisterEngine::new(self.env()).capabilities(handles);
        Hands { world: self, registration: self.store().register_engine(&register_engine).expect("a place") }
    }

    /// Takes back what can be taken back; how many claims that were.
    pub(crate) fn rescue(&self) -> u32 {
        self.rescue_step(10_000).changed
    }

    pub(crate) fn rescue_step(&self, limit: u32) -> StepOutcome {
        self.store().rescue(&Rescue::new(limit, self.env())).expect("a rescue")
    }
}

/// A kind, and how many of it at most.
pub(crate) fn want(kind: &str, limit: u32) -> KindQuota {
    KindQuota { kind: kind.parse().expect("a kind"), limit, cursor: RotationCursor::default() }
}

pub(crate) fn fences(claimed: &[ClaimedTask]) -> Vec<Fence> {
    claimed.iter().map(|task| task.fence).collect()
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

/// How many were claimed of each run, the number of runs being that of the keys.
pub(crate) fn by_run(claimed: &[ClaimedTask]) -> HashMap<conductor_model::RunId, usize> {
    let mut counts = HashMap::new();
    for task in claimed {
        *counts.entry(task.run).or_default() += 1;
    }
    counts
}

impl Hands<'_> {
    pub(crate) fn holder(&self) -> EngineKey {
        self.registration.key()
    }

    /// What a claim of these kinds asks for.
    pub(crate) fn request(&self, wants: impl IntoIterator<Item = KindQuota>, limit: u32) -> Claim {
        Claim {
            engine: self.holder(),
            quotas: wants.into_iter().collect(),
            limit,
            lease_ms: DEFAULT_LEASE_MS,
            allow_isolated: false,
            now: self.world.now(),
        }
    }

    pub(crate) fn ask(&self, request: &Claim) -> ClaimOutcome {
        self.world.store().claim(request).expect("a claim")
    }

    /// Claims at most so many of one kind.
    pub(crate) fn claim(&self, kind: &str, limit: u32) -> Vec<ClaimedTask> {
        self.ask(&self.request([want(kind, limit)], limit)).tasks
    }

    /// Claims at most so many of one kind, and one that is to be run alone.
    pub(crate) fn claim_also_alone(&self, kind: &str, limit: u32) -> Vec<ClaimedTask> {
        let request = Claim { allow_isolated: true, ..self.request([want(kind, limit)], limit) };
        self.ask(&request).tasks
    }

    /// Claims the one task that is ready of the kind `A`.
    #[track_caller]
    pub(crate) fn claim_one(&self) -> ClaimedTask {
        let mut claimed = self.claim("A", 10);
        assert_eq!(claimed.len(), 1, "one task is ready");
        claimed.remove(0)
    }

    pub(crate) fn renew(&self, fences: &[Fence]) -> Vec<FenceOutcome> {
        let request = Renew { fences: fences.to_vec(), lease_ms: DEFAULT_LEASE_MS, now: self.world.now() };
        self.world.store().renew(&request).expect("answers to a renewal")
    }

    pub(crate) fn held(&self, known: &[Fence], limit: u32) -> Vec<Fence> {
        let mut held = self.world.store().unknown_claims(self.holder(), known, limit).expect("what it holds");
        held.sort_by_key(|fence| fence.key);
        held
    }

    pub(crate) fn release(&self, fences: &[Fence]) -> Vec<FenceOutcome> {
        let request = Release { fences: fences.to_vec(), now: self.world.now() };
        self.world.store().release(&request).expect("answers to a release")
    }

    pub(crate) fn settlement(&self, endings: impl IntoIterator<Item = (Fence, AttemptResult)>) -> Settle {
        let (now, jitter) = (self.world.now(), self.world.env().jitter());
        Settle { results: endings.into_iter().collect(), claim: None, now, jitter }
    }

    pub(crate) fn settle_with(&self, request: &Settle) -> SettleOutcome {
        self.world.store().settle(request).expect("a settlement")
    }

    pub(crate) fn settle(
        &self,
        endings: impl IntoIterator<Item = (Fence, AttemptResult)>,
    ) -> Vec<FenceOutcome> {
        self.settle_with(&self.settlement(endings)).results
    }

    /// Settles one claim, which must still be there.
    #[track_caller]
    pub(crate) fn end(&self, task: &ClaimedTask, ending: AttemptResult) {
        assert_eq!(self.settle([(task.fence, ending)]), [FenceOutcome::Applied]);
    }

    /// Every use of a fence that does not hold is told so, and writes nothing.
    #[track_caller]
    pub(crate) fn assert_stale(&self, fence: Fence) {
        self.world.writes_nothing(|| {
            assert_eq!(self.renew(&[fence]), [FenceOutcome::Stale]);
            assert_eq!(self.release(&[fence]), [FenceOutcome::Stale]);
            let fatal = AttemptResult::Failed(AttemptFailure::fatal("it is broken"));
            for ending in [success(), success_with(super::json_of("1")), failure("no"), fatal] {
                assert_eq!(self.settle([(fence, ending)]), [FenceOutcome::Stale]);
            }
        });
    }
}
