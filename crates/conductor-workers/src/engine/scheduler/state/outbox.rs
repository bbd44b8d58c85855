//! Results and releases that the store has not taken yet, and how many results one transaction settles.

use conductor_store::{AttemptResult, Fence};

/// How many bytes of outputs and errors one transaction of an engine settles, about.
pub(crate) const MAX_SETTLE_BYTES: usize = 4 << 20;

/// How many bytes of results may wait. Beyond that nothing more is claimed, and attempts that have not started are
/// released. It is far more than the prefetch claims on purpose, because each release writes an event: only a sudden
/// growth of outputs reaches it.
const MAX_WAITING_BYTES: usize = 32 << 20;

/// Results and releases that wait for the next transaction.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    results: Vec<(Fence, AttemptResult)>,
    releases: Vec<Fence>,
    /// Whether the store may have committed a claim whose answer was lost.
    pub(crate) claim_unknown: bool,
}

impl Outbox {
    pub(crate) fn push(&mut self, fence: Fence, result: AttemptResult) {
        self.results.push((fence, result));
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
        self.results.iter().map(|(_, result)| result_bytes(result)).sum::<usize>() > MAX_WAITING_BYTES
    }

    /// Returns the claims of the results.
    pub(crate) fn result_fences(&self) -> impl Iterator<Item = Fence> {
        self.results.iter().map(|(fence, _)| *fence)
    }

    pub(crate) fn releases(&self) -> &[Fence] {
        &self.releases
    }

    pub(crate) fn clear_releases(&mut self) {
        self.releases.clear();
    }

    /// Takes the first results, about `max` bytes of them and at least one.
    pub(crate) fn take_batch(&mut self, max: usize) -> Vec<(Fence, AttemptResult)> {
        let mut bytes = 0;
        let fits = |(_, result): &&(Fence, AttemptResult)| {
            let fits = bytes < max;
            bytes += result_bytes(result);
            fits
        };
        let count = self.results.iter().take_while(fits).count();
        let rest = self.results.split_off(count);
        std::mem::replace(&mut self.results, rest)
    }

    /// Puts results back, so that the next batch begins with them.
    pub(crate) fn requeue(&mut self, mut results: Vec<(Fence, AttemptResult)>) {
        results.append(&mut self.results);
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
            batches.push(batch.iter().map(|(fence, _)| fence.key).collect::<Vec<_>>());
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
