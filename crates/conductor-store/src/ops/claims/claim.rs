//! Claims ready leaves.

use super::claimed::claimed_group;
use crate::backend::{ClaimWrite, CorruptRow, ReadyGroup, ReadyWanted, RunKey, RunsWith, TaskGroup, Turn};
use crate::ops::input::ParentInputs;
use crate::ops::rotation::share;
use crate::ops::tx::{LeafChange, MAX_COUNT, Transaction, change_leaves, fail_corrupt_leaf};
use crate::{Claim, ClaimOutcome, RotationCursor, StoreError};
use conductor_model::{Kind, MAX_LEASE_MS, Signal};
use std::collections::HashMap;

/// The largest number of runs that one claim visits per kind. The next claim continues behind them.
const RUNS_PER_KIND: u32 = 64;

/// What a claim returns where nothing is ready.
pub(crate) fn nothing(request: &Claim) -> ClaimOutcome {
    let cursors = request.quotas.iter().map(|quota| quota.cursor).collect();
    ClaimOutcome { cursors, ..ClaimOutcome::default() }
}

pub(crate) fn claim(t: &mut Transaction<'_, '_>, request: &Claim) -> Result<ClaimOutcome, StoreError> {
    let limits = limits(request);
    let mut claiming = Claiming { request, left: limits.clone(), limits, outcome: nothing(request) };
    if request.allow_isolated {
        claiming.claim_isolated(t)?;
    }
    claiming.claim_in_rotation(t)?;
    Ok(claiming.outcome)
}

/// How many of each kind may be claimed. Two queues of one kind would get the same leaves: the first has the limits of all.
fn limits(request: &Claim) -> Vec<u32> {
    let mut limits = vec![0_u32; request.quotas.len()];
    let mut first_of_kind = HashMap::new();
    for (nth, quota) in request.quotas.iter().enumerate() {
        let first: usize = *first_of_kind.entry(&quota.kind).or_insert(nth);
        limits[first] = limits[first].saturating_add(quota.limit).min(request.limit);
    }
    limits
}

/// Ready leaves of one kind in one run.
#[derive(Clone, Copy)]
struct Queue {
    quota: usize,
    run: RunKey,
}

/// A claim on its way.
struct Claiming<'c> {
    request: &'c Claim,
    /// How many of each kind may be claimed, at the first place where the kind is named.
    limits: Vec<u32>,
    /// How many of them may still be claimed.
    left: Vec<u32>,
    outcome: ClaimOutcome,
}

impl<'c> Claiming<'c> {
    /// How many of all kinds together may still be claimed.
    fn room(&self) -> u32 {
        self.request.limit.saturating_sub(self.outcome.len())
    }

    fn kind(&self, quota: usize) -> &'c Kind {
        &self.request.quotas[quota].kind
    }

    /// Claims the first isolated task.
    fn claim_isolated(&mut self, t: &mut Transaction<'_, '_>) -> Result<(), StoreError> {
        let quotas: Vec<usize> = (0..self.left.len()).filter(|quota| self.left[*quota] > 0).collect();
        let wanted: Vec<ReadyWanted<'_>> = quotas
            .iter()
            .map(|quota| ReadyWanted { kind: self.kind(*quota), run: None, isolated: true, limit: 1 })
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let found = self.take(t, &wanted, &quotas, 1)?;
        // What was found and not claimed is gone, and there may be another one.
        self.outcome.more |= found.iter().any(|found| *found > 0) && self.outcome.is_empty();
        Ok(())
    }

    /// Claims an equal share of what is left from each queue that is left. What one does not need goes to the others.
    fn claim_in_rotation(&mut self, t: &mut Transaction<'_, '_>) -> Result<(), StoreError> {
        let mut queues = self.queues(t)?;
        let mut is_first_round = true;
        loop {
            let shares = self.shares(&queues);
            if shares.is_empty() {
                break;
            }
            // A queue without a share waits for the next claim.
            self.outcome.more |= shares.len() < queues.len();
            if is_first_round {
                for (queue, _) in &shares {
                    self.outcome.cursors[queue.quota] = RotationCursor::behind(queue.run);
                }
            }
            is_first_round = false;
            let wanted: Vec<ReadyWanted<'_>> = shares
                .iter()
                .map(|(queue, limit)| ReadyWanted {
                    kind: self.kind(queue.quota),
                    run: Some(queue.run),
                    isolated: false,
                    limit: *limit,
                })
                .collect();
            let quotas: Vec<usize> = shares.iter().map(|(queue, _)| queue.quota).collect();
            let found = self.take(t, &wanted, &quotas, self.room())?;
            // Only a queue that gave its whole share may have more.
            let gave_all = shares.iter().zip(found).filter(|((_, limit), found)| found == limit);
            queues = gave_all.map(|((queue, _), _)| *queue).collect();
        }
        self.outcome.more |= !queues.is_empty();
        Ok(())
    }

    /// The queues that get something of what is left, each with its share.
    fn shares(&self, queues: &[Queue]) -> Vec<(Queue, u32)> {
        let (mut room, mut left) = (self.room(), self.left.clone());
        let mut shares = Vec::with_capacity(queues.len());
        for (nth, queue) in queues.iter().enumerate() {
            let limit = share(room, queues.len() - nth).min(left[queue.quota]);
            if limit > 0 {
                shares.push((*queue, limit));
                room -= limit;
                left[queue.quota] -= limit;
            }
        }
        shares
    }

    /// The queues to claim from, those of all kinds in turns, each kind behind the run at which its last claim stopped.
    fn queues(&mut self, t: &mut Transaction<'_, '_>) -> Result<Vec<Queue>, StoreError> {
        let is_wanted = |quota: &usize| self.limits[*quota] > 0;
        let quotas: Vec<usize> = (0..self.left.len()).filter(is_wanted).collect();
        let limit = |quota: usize| RUNS_PER_KIND.min(self.left[quota]);
        let turns: Vec<Turn<'_>> = quotas
            .iter()
            .map(|quota| Turn {
                with: RunsWith::Ready(self.kind(*quota)),
                after: self.request.quotas[*quota].cursor,
                // One further, to know whether there is one.
                limit: limit(*quota) + 1,
            })
            .collect();
        if turns.is_empty() {
            return Ok(Vec::new());
        }
        let mut queues = Vec::new();
        let runs = t.store()?.runs_in_turn(&turns)?;
        for (quota, runs) in quotas.iter().zip(runs) {
            let limit = limit(*quota) as usize;
            self.outcome.more |= runs.len() > limit;
            let runs = runs.into_iter().take(limit).enumerate();
            queues.extend(runs.map(|(nth, run)| (nth, Queue { quota: *quota, run })));
        }
        queues.sort_by_key(|(nth, queue)| (*nth, queue.quota));
        Ok(queues.into_iter().map(|(_, queue)| queue).collect())
    }

    /// Takes what is wanted, and starts it. Returns how many leaves there were of each, claimed or not.
    fn take(
        &mut self,
        t: &mut Transaction<'_, '_>,
        wanted: &[ReadyWanted<'_>],
        quotas: &[usize],
        max: u32,
    ) -> Result<Vec<u32>, StoreError> {
        let ready = t.store()?.take_ready(wanted, max)?;
        t.ancestors.learn(&ready.above);
        let mut found = vec![0; wanted.len()];
        for (nth, corrupt) in &ready.corrupt {
            found[*nth] += 1;
            t.store()?.fail_corrupt(CorruptRow::Task(corrupt))?;
            self.outcome.rejected += 1;
        }
        for (nth, ReadyGroup { group, .. }) in &ready.groups {
            found[*nth] += group.len();
            if group.status.attempt >= MAX_COUNT {
                self.fail_overflown(t, group)?;
            }
        }
        for (quota, found) in quotas.iter().zip(&found) {
            self.left[*quota] = self.left[*quota].saturating_sub(*found);
        }
        let mut inputs_of_parents = ParentInputs::default();
        inputs_of_parents.learn(ready.parent_inputs);
        for (nth, ReadyGroup { group, inputs }) in ready.groups {
            if group.status.attempt >= MAX_COUNT {
                continue;
            }
            // A failure of another one in this claim may have cancelled an ancestor.
            if t.ancestors.is_cancelling(group.parent()) {
                let cancelled = change_leaves(t, &group, LeafChange::of(Signal::Cancel));
                cancelled.map_err(|error| error.in_step(group.block.base))?;
                self.outcome.rejected += group.len();
                continue;
            }
            let claim = Some(self.lease());
            let started = change_leaves(t, &group, LeafChange { claim, ..LeafChange::of(Signal::Start) });
            let started = started.map_err(|error| error.in_step(group.block.base))?;
            let claimed = claimed_group(t, &mut inputs_of_parents, (&started, inputs), quotas[nth])?;
            let ran = claimed.as_ref().map_or(0, |claimed| claimed.fences.offsets.len());
            self.outcome.rejected += started.len() - ran;
            self.outcome.groups.extend(claimed);
        }
        Ok(found)
    }

    /// Fails leaves whose attempt another program changed, so that it cannot increase.
    fn fail_overflown(&mut self, t: &mut Transaction<'_, '_>, group: &TaskGroup) -> Result<(), StoreError> {
        for offset in group.offsets.iter() {
            fail_corrupt_leaf(t, &group.leaf(offset), "its attempt was changed, and cannot increase".into())?;
            self.outcome.rejected += 1;
        }
        Ok(())
    }

    fn lease(&self) -> ClaimWrite {
        let lease_until = self.request.now.plus_millis(self.request.lease_ms.min(MAX_LEASE_MS));
        ClaimWrite { engine: self.request.engine, lease_until }
    }
}
