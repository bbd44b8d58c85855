//! Results and releases that the store has not taken yet, and how many results one transaction settles.

use conductor_store::{AttemptResult, Fence, FenceSet};

/// How many bytes of outputs and errors one transaction of an engine settles, about.
pub(crate) const MAX_SETTLE_BYTES: usize = 4 << 20;

/// How many bytes of results may wait. Beyond that nothing more is claimed, and attempts that have not started are
/// released. It is far more than the prefetch claims on purpose, because each release writes an event: only a sudden
/// growth of outputs reaches it.
const MAX_WAITING_BYTES: usize = 32 << 20;

/// Results that one transaction settles.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) single: Vec<(Fence, AttemptResult)>,
    /// Successes without an output.
    pub(crate) succeeded: Vec<FenceSet>,
}

impl Results {
    pub(crate) fn is_empty(&self) -> bool {
        self.single.is_empty() && self.succeeded.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.single.len() + self.succeeded.iter().map(|set| set.offsets.len() as usize).sum::<usize>()
    }

    /// Returns the fences.
    fn fences(&self) -> impl Iterator<Item = Fence> {
        self.single.iter().map(|(fence, _)| *fence).chain(self.succeeded.iter().flat_map(FenceSet::iter))
    }

    /// Returns the results one by one.
    pub(crate) fn into_single(self) -> Vec<(Fence, AttemptResult)> {
        let succeeded = |fence| (fence, AttemptResult::Succeeded { output: None });
        let succeeded = self.succeeded.iter().flat_map(FenceSet::iter).map(succeeded);
        self.single.into_iter().chain(succeeded).collect()
    }
}

/// Results and releases that wait for the next transaction.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    results: Results,
    releases: Vec<Fence>,
    /// Whether the store may have committed a claim whose answer was lost.
    pub(crate) claim_unknown: bool,
}

impl Outbox {
    pub(crate) fn push(&mut self, fence: Fence, result: AttemptResult) {
        self.results.single.push((fence, result));
    }

    /// Adds successes without an output.
    pub(crate) fn push_succeeded(&mut self, set: FenceSet) {
        let of = |set: &FenceSet| (set.base_key, set.base_id, set.attempt);
        match self.results.succeeded.last_mut().filter(|last| of(last) == of(&set)) {
            Some(last) => last.offsets = last.offsets.or(&set.offsets),
            None => self.results.succeeded.push(set),
        }
    }

    pub(crate) fn push_releases(&mut self, fences: impl IntoIterator<Item = Fence>) {
        self.releases.extend(fences);
    }

    pub(crate) fn len(&self) -> usize {
        self.results.len()
    }

    pub(crate) fn has_results(&self) -> bool {
        !self.results.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.results.is_empty() && self.releases.is_empty() && !self.claim_unknown
    }

    /// Returns whether more bytes of results wait than memory allows.
    pub(crate) fn is_full(&self) -> bool {
        let results = &self.results.single;
        results.iter().map(|(_, result)| result_bytes(result)).sum::<usize>() > MAX_WAITING_BYTES
    }

    /// Returns the claims of the results.
    pub(crate) fn result_fences(&self) -> impl Iterator<Item = Fence> {
        self.results.fences()
    }

    pub(crate) fn releases(&self) -> &[Fence] {
        &self.releases
    }

    pub(crate) fn clear_releases(&mut self) {
        self.releases.clear();
    }

    /// Takes the successes without an output and the first other results, about `max` bytes of them and at least one.
    pub(crate) fn take_batch(&mut self, max: usize) -> Results {
        let mut bytes = 0;
        let fits = |(_, result): &&(Fence, AttemptResult)| {
            let fits = bytes < max;
            bytes += result_bytes(result);
            fits
        };
        let count = self.results.single.iter().take_while(fits).count();
        let rest = self.results.single.split_off(count);
        std::mem::replace(&mut self.results, Results { single: rest, succeeded: Vec::new() })
    }

    /// Puts results back, so that the next batch begins with them.
    pub(crate) fn requeue(&mut self, mut results: Results) {
        results.single.append(&mut self.results.single);
        results.succeeded.append(&mut self.results.succeeded);
        self.results = results;
    }
}

/// Returns the bytes of a result's output or error.
pub(crate) fn result_bytes(result: &AttemptResult) -> usize {
    match result {
        AttemptResult::Succeeded { output } => output.as_ref().map_or(0, |output| output.as_str().len()),
        AttemptResult::Failed(failure) => failure.text().as_str().len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_model::{Json, TaskId};

    fn outbox(sizes: &[usize]) -> Outbox {
        let mut outbox = Outbox::default();
        for (key, size) in (0..).zip(sizes) {
            let output = Json::of(&"x".repeat(*size)).unwrap();
            let fence = Fence { task: TaskId::from_u128(1), key, attempt: 1 };
            outbox.push(fence, AttemptResult::Succeeded { output: Some(output) });
        }
        outbox
    }

    #[test]
    fn large_outputs_are_batched_by_bytes_in_order() {
        let mut outbox = outbox(&[1_000_000; 11]);
        let mut batches = Vec::new();
        while outbox.has_results() {
            let batch = outbox.take_batch(MAX_SETTLE_BYTES);
            batches.push(batch.single.iter().map(|(fence, _)| fence.key).collect::<Vec<_>>());
        }
        assert_eq!(batches, [vec![0, 1, 2, 3, 4], vec![5, 6, 7, 8, 9], vec![10]]);
    }

    #[test]
    fn small_outputs_are_in_one_batch() {
        let mut outbox = outbox(&vec![10; 4_000]);
        assert_eq!((outbox.take_batch(MAX_SETTLE_BYTES).len(), outbox.len()), (4_000, 0));
        assert!(outbox.take_batch(MAX_SETTLE_BYTES).is_empty());
    }
}
