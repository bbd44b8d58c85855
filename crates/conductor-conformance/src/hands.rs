//! An engine in the test's hand: it claims, and says what became of it.

use super::World;
use conductor_model::{AttemptFailure, DEFAULT_LEASE_MS, Json};
use conductor_store::{
    Claim, Claimed, ClaimedTask, Ending, Enlist, Fence, Fenced, Handles, Holder, Presence, Release, Renew,
    Rescue, Rescued, Settle, Settled, Turn, Want,
};
use std::collections::HashMap;

/// An engine that lives until it is dropped.
pub(super) struct Hands<'w> {
    world: &'w World<'w>,
    presence: Presence,
}

impl<'w> World<'w> {
    /// An engine that takes its place.
    pub(super) fn hands(&'w self) -> Hands<'w> {
        let presence = self.store().enlist(&Enlist::new(self.source())).expect("a place");
        Hands { world: self, presence }
    }

    /// The same, of one that says what it handles.
    pub(super) fn hands_that_handle(&'w self, handles: Handles) -> Hands<'w> {
        let enlist = Enlist::new(self.source()).handling(handles);
        Hands { world: self, presence: self.store().enlist(&enlist).expect("a place") }
    }

    /// Takes back what can be taken back; how many claims that were.
    pub(super) fn rescue(&self) -> u32 {
        self.rescue_step(10_000).tasks
    }

    pub(super) fn rescue_step(&self, limit: u32) -> Rescued {
        self.store().rescue(&Rescue::new(limit, self.source())).expect("a rescue")
    }
}

/// A kind, and how many of it at most.
pub(super) fn want(kind: &str, limit: u32) -> Want {
    Want { kind: kind.parse().expect("a kind"), limit, turn: Turn::default() }
}

pub(super) fn fences(claimed: &[ClaimedTask]) -> Vec<Fence> {
    claimed.iter().map(|task| task.fence).collect()
}

pub(super) fn success() -> Ending {
    Ending::Succeeded { output: None }
}

pub(super) fn success_with(output: Json) -> Ending {
    Ending::Succeeded { output: Some(output) }
}

pub(super) fn failure(error: &str) -> Ending {
    Ending::Failed(AttemptFailure::error(error))
}

/// How many were claimed of each run, the number of runs being that of the keys.
pub(super) fn by_run(claimed: &[ClaimedTask]) -> HashMap<conductor_model::RunId, usize> {
    let mut counts = HashMap::new();
    for task in claimed {
        *counts.entry(task.run).or_default() += 1;
    }
    counts
}

impl Hands<'_> {
    pub(super) fn holder(&self) -> Holder {
        self.presence.holder()
    }

    /// What a claim of these kinds asks for.
    pub(super) fn request(&self, wants: impl IntoIterator<Item = Want>, limit: u32) -> Claim {
        Claim {
            holder: self.holder(),
            wants: wants.into_iter().collect(),
            limit,
            lease_ms: DEFAULT_LEASE_MS,
            alone: false,
            now: self.world.now(),
        }
    }

    pub(super) fn ask(&self, request: &Claim) -> Claimed {
        self.world.store().claim(request).expect("a claim")
    }

    /// Claims at most so many of one kind.
    pub(super) fn claim(&self, kind: &str, limit: u32) -> Vec<ClaimedTask> {
        self.ask(&self.request([want(kind, limit)], limit)).tasks
    }

    /// Claims at most so many of one kind, and one that is to be run alone.
    pub(super) fn claim_also_alone(&self, kind: &str, limit: u32) -> Vec<ClaimedTask> {
        let request = Claim { alone: true, ..self.request([want(kind, limit)], limit) };
        self.ask(&request).tasks
    }

    /// Claims the one task that is ready of the kind `A`.
    #[track_caller]
    pub(super) fn claim_one(&self) -> ClaimedTask {
        let mut claimed = self.claim("A", 10);
        assert_eq!(claimed.len(), 1, "one task is ready");
        claimed.remove(0)
    }

    pub(super) fn renew(&self, fences: &[Fence]) -> Vec<Fenced> {
        let request = Renew { fences: fences.to_vec(), lease_ms: DEFAULT_LEASE_MS, now: self.world.now() };
        self.world.store().renew(&request).expect("answers to a renewal")
    }

    pub(super) fn held(&self, known: &[Fence], limit: u32) -> Vec<Fence> {
        let mut held = self.world.store().held(self.holder(), known, limit).expect("what it holds");
        held.sort_by_key(|fence| fence.key);
        held
    }

    pub(super) fn release(&self, fences: &[Fence]) -> Vec<Fenced> {
        let request = Release { fences: fences.to_vec(), now: self.world.now() };
        self.world.store().release(&request).expect("answers to a release")
    }

    pub(super) fn settlement(&self, endings: impl IntoIterator<Item = (Fence, Ending)>) -> Settle {
        let (now, jitter) = (self.world.now(), self.world.source().jitter());
        Settle { endings: endings.into_iter().collect(), claim: None, now, jitter }
    }

    pub(super) fn settle_with(&self, request: &Settle) -> Settled {
        self.world.store().settle(request).expect("a settlement")
    }

    pub(super) fn settle(&self, endings: impl IntoIterator<Item = (Fence, Ending)>) -> Vec<Fenced> {
        self.settle_with(&self.settlement(endings)).endings
    }

    /// Settles one claim, which must still be there.
    #[track_caller]
    pub(super) fn end(&self, task: &ClaimedTask, ending: Ending) {
        assert_eq!(self.settle([(task.fence, ending)]), [Fenced::Applied]);
    }

    /// Every use of a fence that does not hold is told so, and writes nothing.
    #[track_caller]
    pub(super) fn assert_stale(&self, fence: Fence) {
        self.world.writes_nothing(|| {
            assert_eq!(self.renew(&[fence]), [Fenced::Stale]);
            assert_eq!(self.release(&[fence]), [Fenced::Stale]);
            let fatal = Ending::Failed(AttemptFailure::fatal("it is broken"));
            for ending in [success(), success_with(super::world::json_of("1")), failure("no"), fatal] {
                assert_eq!(self.settle([(fence, ending)]), [Fenced::Stale]);
            }
        });
    }
}
