//! The claimed tasks of an engine.

use crate::handler::attempt::Attempt;
use crate::handler::batch::{Batch, BatchPlace};
use crate::handler::running::RunningAttempts;
use conductor_store::Fence;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The claimed tasks, with a count for each kind.
pub(crate) struct Claims {
    /// By their places. The order is always the same, so a simulation can be repeated.
    batches: BTreeMap<BatchPlace, Arc<Batch>>,
    /// The number of the last claimed group.
    last_group: u64,
    /// How many tasks are claimed, and how many of them are isolated.
    len: usize,
    isolated: usize,
    /// How many tasks of each kind are claimed.
    by_kind: Vec<u32>,
    running: Arc<RunningAttempts>,
    /// Running attempts whose results no longer count, for the workers that run them.
    abandoned: Vec<Arc<Attempt>>,
}

impl Claims {
    pub(crate) fn new(kinds: usize, workers: u32) -> Self {
        Self {
            batches: BTreeMap::new(),
            last_group: 0,
            len: 0,
            isolated: 0,
            by_kind: vec![0; kinds],
            running: RunningAttempts::new(workers),
            abandoned: Vec::new(),
        }
    }

    /// Where the workers keep the attempts that they run.
    pub(crate) fn running(&self) -> &Arc<RunningAttempts> {
        &self.running
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn of_kind(&self, kind: usize) -> u32 {
        self.by_kind[kind]
    }

    pub(crate) fn has_isolated(&self) -> bool {
        self.isolated > 0
    }

    /// Returns the batches that have claimed tasks.
    pub(crate) fn batches(&self) -> impl DoubleEndedIterator<Item = &Arc<Batch>> {
        self.batches.values()
    }

    /// Returns the fences of all claims.
    pub(crate) fn fences(&self) -> impl Iterator<Item = Fence> {
        self.batches().flat_map(|batch| batch.fences(batch.claimed()).iter())
    }

    /// Returns the attempts whose handlers run.
    pub(crate) fn started(&self) -> impl Iterator<Item = Arc<Attempt>> {
        self.running.attempts().filter(|attempt| attempt.is_claimed())
    }

    /// Returns how many tasks have not started.
    pub(crate) fn waiting(&self) -> usize {
        self.batches().map(|batch| batch.waiting().count_ones() as usize).sum()
    }

    /// Returns when the first timeout passes, if all tasks that have not started start at `now`.
    pub(crate) fn next_timeout(&self, now: Duration) -> Option<Duration> {
        let waiting = self.batches().filter(|batch| batch.waiting() != 0);
        let waiting = waiting.filter_map(|batch| Some(now + Duration::from_millis(batch.timeout_ms?.into())));
        self.started().filter_map(|attempt| attempt.deadline()).chain(waiting).min()
    }

    /// Returns a number that no claimed group has.
    pub(crate) fn next_group(&mut self) -> u64 {
        self.last_group += 1;
        self.last_group
    }

    /// Adds a batch. A task that the engine had claimed before, and lost since, is abandoned: returns these, with their batches.
    pub(crate) fn insert(&mut self, batch: &Arc<Batch>) -> Vec<(Arc<Batch>, u64)> {
        let lost = self.overlapping(batch);
        for (before, tasks) in &lost {
            self.abandon(before, *tasks);
        }
        let tasks = batch.claimed().count_ones();
        self.len += tasks as usize;
        self.by_kind[batch.kind] += tasks;
        self.isolated += if batch.isolated { tasks as usize } else { 0 };
        self.batches.insert(batch.place(), Arc::clone(batch));
        lost
    }

    /// Returns the batches that have claimed some of these tasks, with these.
    fn overlapping(&self, tasks: &Batch) -> Vec<(Arc<Batch>, u64)> {
        let (first_key, last) = tasks.place();
        let of_keys = self.batches.range((first_key, 0)..(first_key, last));
        let both = of_keys.map(|(_, batch)| (Arc::clone(batch), batch.claimed() & tasks.claimed()));
        both.filter(|(_, both)| *both != 0).collect()
    }

    /// Removes tasks of a batch. Returns those that were claimed.
    pub(crate) fn remove(&mut self, batch: &Batch, tasks: u64) -> u64 {
        let removed = batch.unclaim(tasks);
        let count = removed.count_ones();
        self.len -= count as usize;
        self.by_kind[batch.kind] -= count;
        self.isolated -= if batch.isolated { count as usize } else { 0 };
        if removed != 0 && batch.claimed() == 0 {
            self.batches.remove(&batch.place());
        }
        removed
    }

    /// Removes a running attempt whose claim was lost or whose timeout has passed, and asks its handler to stop.
    pub(crate) fn abandon_attempt(&mut self, attempt: Arc<Attempt>) {
        if self.remove(&attempt.batch, attempt.bit) != 0 {
            attempt.cancel_token().cancel();
            self.abandoned.push(attempt);
        }
    }

    /// Removes tasks whose claims were lost. Those that have not started never start; the handlers of the others are asked to
    /// stop.
    pub(crate) fn abandon(&mut self, batch: &Batch, tasks: u64) {
        // A worker that starts one of them looks whether it is still claimed, after it has told that it runs.
        let removed = self.remove(batch, tasks);
        let started = removed & !batch.revoke(removed);
        if started != 0 {
            let is_started = |attempt: &Arc<Attempt>| {
                std::ptr::eq(&raw const *attempt.batch, batch) && attempt.bit & started != 0
            };
            for attempt in self.running.attempts().filter(is_started) {
                attempt.cancel_token().cancel();
                self.abandoned.push(attempt);
            }
        }
    }

    /// Takes the running attempts that were abandoned since the last call.
    pub(crate) fn take_abandoned(&mut self) -> Vec<Arc<Attempt>> {
        std::mem::take(&mut self.abandoned)
    }

    /// Removes up to `max` tasks that have not started, the last ones first. They never start. Returns their fences.
    pub(crate) fn remove_waiting(&mut self, max: usize) -> Vec<Fence> {
        let batches: Vec<_> = self.batches().rev().cloned().collect();
        let mut fences = Vec::new();
        for batch in batches {
            if fences.len() == max {
                break;
            }
            let mut wanted = batch.waiting();
            while wanted.count_ones() as usize > max - fences.len() {
                wanted &= wanted - 1;
            }
            let removed = self.remove(&batch, batch.revoke(wanted));
            fences.extend(batch.fences(removed).iter());
        }
        fences
    }

    /// Removes all tasks, and asks their handlers to stop. Returns their fences.
    pub(crate) fn remove_all(&mut self) -> Vec<Fence> {
        let batches: Vec<_> = self.batches().cloned().collect();
        let fences = self.fences().collect();
        for batch in batches {
            let removed = self.remove(&batch, u64::MAX);
            batch.revoke(removed);
        }
        self.running.attempts().for_each(|attempt| attempt.cancel_token().cancel());
        fences
    }
}
