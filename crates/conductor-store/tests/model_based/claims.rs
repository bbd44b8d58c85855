//! The operations of engines.

use crate::harness::{BLOCK, Harness, drain, pick};
use crate::programs::{ClaimOp, KINDS, Named};
use crate::reference::{Lease, Reference};
use conductor_model::{TaskId, Timestamp};
use conductor_store::{
    AttemptResult, Claim, ClaimOutcome, ClaimedGroup, ClaimedTask, Fence, FenceOutcome, FenceSet, KindQuota,
    OffsetSet, RegisterEngine, Release, Renew, Rescue, Settle, SettleOutcome,
};
use std::collections::HashSet;

impl Harness {
    pub(crate) fn claim_of(&self, op: &ClaimOp) -> Claim {
        let quota = |i: usize| KindQuota {
            kind: KINDS[i].parse().unwrap(),
            limit: op.limits[i],
            cursor: self.claim_cursors[i],
        };
        Claim {
            engine: self.engines[op.engine].1.key(),
            quotas: vec![quota(0), quota(1)],
            limit: op.limit,
            lease_ms: op.lease_ms,
            allow_isolated: op.isolated,
            now: self.now,
        }
    }

    pub(crate) fn claim(&mut self, op: &ClaimOp) {
        let claimed = self.store.claim(&self.claim_of(op)).unwrap();
        self.check_claim(op, &claimed);
    }

    /// Asserts that a claim took tasks as it is guaranteed, and claims them in the reference.
    pub(crate) fn check_claim(&mut self, op: &ClaimOp, claimed: &ClaimOutcome) {
        let kinds: Vec<&str> =
            (0..2).filter(|quota| op.limits[*quota] > 0).map(|quota| KINDS[quota]).collect();
        let observed = self.observed();
        let cancelled = self.reference.follow_claim(&observed, &kinds, self.now);
        assert_eq!(claimed.rejected as usize, cancelled, "every row is readable");
        self.count("claim rejects cancelled tasks", cancelled > 0);
        let number_of = |id: TaskId| self.tasks.iter().position(|task| task.id == id).unwrap();
        let numbers: Vec<usize> = claimed.tasks().iter().map(|task| number_of(task.fence.task)).collect();
        assert!(numbers.len() <= op.limit as usize);
        assert!(claimed.tasks().iter().filter(|task| task.isolated).count() <= usize::from(op.isolated));
        let (leaves_tasks, leaves_isolated) = self.check_claim_order(op, &claimed.tasks(), &numbers);
        assert!(claimed.more || op.limit == 0 || !leaves_tasks, "`more` is set if ready tasks are left");
        let has_effect = !numbers.is_empty() || cancelled > 0;
        assert!(
            op.limit == 0 || has_effect || !(leaves_tasks || leaves_isolated),
            "the claim takes a ready task"
        );
        let crosses_border = |pair: &[ClaimedTask]| {
            let block = |task: &ClaimedTask| task.fence.task.as_u128() / u128::from(BLOCK);
            pair[0].parent.is_some() && pair[0].parent == pair[1].parent && block(&pair[0]) != block(&pair[1])
        };
        self.count("claim of siblings in two blocks", claimed.tasks().windows(2).any(crosses_border));
        self.claim_cursors = [claimed.cursors[0], claimed.cursors[1]];
        for ClaimedGroup { fences, .. } in &claimed.groups {
            self.blocks.extend(fences.iter().map(|fence| (fence.task, *fences)));
        }
        for (task, number) in claimed.tasks().iter().zip(numbers) {
            self.check_claimed_task(op, task, number);
        }
    }

    /// Asserts limits and order of the claimed tasks. Returns whether plain and isolated ready tasks are left.
    fn check_claim_order(&self, op: &ClaimOp, tasks: &[ClaimedTask], numbers: &[usize]) -> (bool, bool) {
        let (mut leaves_tasks, mut leaves_isolated) = (false, false);
        for (quota, kind) in KINDS.into_iter().enumerate() {
            let of_quota = tasks.iter().filter(|task| task.quota_index == quota).count();
            assert!(of_quota <= op.limits[quota] as usize);
            for run in 0..self.runs.len() {
                let ready = self.reference.ready(kind, run);
                let claimed = |isolated: bool| -> Vec<usize> {
                    let is_claimed = |(task, number): &(&ClaimedTask, &usize)| {
                        let run_of_task = self.reference.tasks[**number].run;
                        task.isolated == isolated && task.quota_index == quota && run_of_task == run
                    };
                    tasks.iter().zip(numbers).filter(is_claimed).map(|(_, number)| *number).collect()
                };
                let (plain, isolated) = (claimed(false), claimed(true));
                assert!(ready.tasks.starts_with(&plain), "{plain:?} of {ready:?}, in order");
                assert!(ready.isolated.starts_with(&isolated), "{isolated:?} of {ready:?}, in order");
                leaves_tasks |= op.limits[quota] > 0 && plain.len() < ready.tasks.len();
                leaves_isolated |=
                    op.isolated && op.limits[quota] > 0 && isolated.len() < ready.isolated.len();
            }
        }
        (leaves_tasks, leaves_isolated)
    }

    fn check_claimed_task(&mut self, op: &ClaimOp, task: &ClaimedTask, number: usize) {
        let until = self.now.plus_millis(op.lease_ms);
        let lease = Lease { engine: self.engines[op.engine].0, since: self.now, until };
        self.reference.claim(number, lease);
        let row = &self.reference.tasks[number];
        assert_eq!((task.fence.attempt, task.retry_count), (row.attempt, row.retry_count));
        assert_eq!((task.run, task.index), (self.runs[row.run], row.index));
        assert_eq!(task.parent, row.parent.map(|parent| self.tasks[parent].id));
        assert_eq!(task.input, self.tasks[number].input);
        let is_join = row.is_join();
        self.fences.push((number, task.fence));
        self.count("join is claimed", is_join);
    }

    fn position_of((back, _): Named, len: usize) -> Option<usize> {
        pick(back, len).map(|back| len - 1 - back)
    }

    /// The fences that an operation names.
    pub(crate) fn named(&self, named: &[Named]) -> Vec<Fence> {
        let fence = |name: &Named| {
            let (_, fence) = self.fences[Self::position_of(*name, self.fences.len())?];
            Some(Fence { attempt: fence.attempt + name.1, ..fence })
        };
        named.iter().filter_map(fence).collect()
    }

    /// Asserts how each fence was answered, and applies the request to the reference for each valid fence.
    pub(crate) fn check_fenced(
        &mut self,
        named: &[Named],
        answers: &[FenceOutcome],
        is_applied_last: impl Fn(usize) -> bool,
        mut apply: impl FnMut(&mut Reference, usize, usize, Timestamp),
    ) {
        let fences = self.named(named);
        assert_eq!(answers.len(), fences.len());
        let mut seen = HashSet::new();
        let mut valid = Vec::new();
        for (i, (fence, answer)) in fences.iter().zip(answers).enumerate() {
            let task = self.tasks.iter().position(|task| task.id == fence.task).unwrap();
            let is_valid = self.reference.holds(task, fence.attempt) && seen.insert(task);
            assert_eq!(*answer == FenceOutcome::Applied, is_valid, "{fence:?}");
            if is_valid {
                valid.push((i, task));
            }
        }
        valid.sort_by_key(|(i, _)| is_applied_last(*i));
        for (i, task) in valid {
            apply(&mut self.reference, i, task, self.now);
        }
    }

    pub(crate) fn settle(&mut self, results: &[(Named, AttemptResult)], next: Option<&ClaimOp>) {
        let (named, results): (Vec<Named>, Vec<AttemptResult>) = results.iter().cloned().unzip();
        let fences = self.named(&named);
        let is_once = fences.iter().map(|fence| fence.task).collect::<HashSet<_>>().len() == fences.len();
        let plain = AttemptResult::Succeeded { output: None };
        let (in_sets, single): (Vec<_>, Vec<_>) =
            fences.iter().copied().zip(results.clone()).partition(|(_, result)| is_once && *result == plain);
        let request = Settle {
            results: single,
            succeeded: self.sets_of(in_sets.iter().map(|(fence, _)| *fence)),
            claim: next.map(|op| self.claim_of(op)),
            now: self.now,
            jitter: self.env.jitter(),
        };
        let settled = self.store.settle(&request).unwrap();
        let answers = if is_once {
            fences.iter().map(|fence| answer(&request, &settled, fence)).collect()
        } else {
            settled.results.clone()
        };
        // The store records failures before successes.
        let is_success = |i: usize| matches!(results[i], AttemptResult::Succeeded { .. });
        self.check_fenced(&named, &answers, is_success, |reference, i, task, now| {
            reference.settle(task, &results[i], now);
        });
        match next {
            Some(op) => self.check_claim(op, &settled.claimed),
            None => assert_eq!(settled.claimed, ClaimOutcome::default()),
        }
    }

    /// Puts fences into sets, as an engine gets them with its claims.
    fn sets_of(&self, fences: impl Iterator<Item = Fence>) -> Vec<FenceSet> {
        let mut sets: Vec<FenceSet> = Vec::new();
        for Fence { task, key, attempt } in fences {
            let block = self.blocks[&task];
            let offset = u16::try_from(key - block.base_key).unwrap();
            match sets.iter_mut().find(|set| (set.base_key, set.attempt) == (block.base_key, attempt)) {
                Some(set) => drop(set.offsets.insert(offset)),
                None => sets.push(FenceSet { attempt, offsets: OffsetSet::one(offset), ..block }),
            }
        }
        sets
    }

    /// Settles the valid claims, from the one at `first` on.
    pub(crate) fn settle_held(&mut self, first: usize, results: &[AttemptResult]) {
        let is_held = |i: &usize| self.reference.holds(self.fences[*i].0, self.fences[*i].1.attempt);
        let held: Vec<usize> = (0..self.fences.len()).filter(is_held).collect();
        let names = held.iter().map(|i| (self.fences.len() - 1 - i, 0));
        let results: Vec<_> = names.skip(first % held.len().max(1)).zip(results.iter().cloned()).collect();
        self.settle(&results, None);
    }

    pub(crate) fn renew(&mut self, named: &[Named], lease_ms: u64) {
        let until = self.now.plus_millis(lease_ms);
        let request = Renew { fences: self.named(named), lease_ms, now: self.now };
        let answers = self.store.renew(&request).unwrap();
        self.check_fenced(
            named,
            &answers,
            |_| false,
            |reference, _, task, now| reference.renew(task, now, until),
        );
    }

    pub(crate) fn release(&mut self, named: &[Named]) {
        let request = Release { fences: self.named(named), now: self.now };
        let answers = self.store.release(&request).unwrap();
        self.check_fenced(named, &answers, |_| false, |reference, _, task, _| reference.release(task));
    }

    pub(crate) fn rescue(&mut self, limit: u32) {
        let step = Rescue { now: self.now, limit, jitter: self.env.jitter() };
        let rescued = drain(|| self.store.rescue(&step).map(|done| (done.changed, done.more)).unwrap());
        let lives = |engine| self.engines.iter().any(|(number, _)| *number == engine);
        assert_eq!(rescued, self.reference.rescue(self.now, lives));
    }

    /// Ends an engine and registers another one.
    pub(crate) fn replace_engine(&mut self, engine: usize) {
        let next = self.engines.iter().map(|(number, _)| number + 1).max().unwrap();
        self.engines.remove(engine);
        self.engines.push((next, self.store.register_engine(&RegisterEngine::new(&self.env)).unwrap()));
    }
}

/// How a fence of a request was answered.
fn answer(request: &Settle, settled: &SettleOutcome, fence: &Fence) -> FenceOutcome {
    if let Some(nth) = request.results.iter().position(|(of, _)| of == fence) {
        return settled.results[nth];
    }
    let of = request.succeeded.iter().zip(&settled.succeeded);
    let is_applied = of
        .into_iter()
        .any(|(set, applied)| FenceSet { offsets: *applied, ..*set }.iter().any(|of| of == *fence));
    if is_applied { FenceOutcome::Applied } else { FenceOutcome::Stale }
}
