//! Claimed tasks between the engine and the threads that run them. A batch has up to 64 of them, one bit for each: one atomic
//! change of a bit gives a task to a thread, or its result back.

use conductor_model::{Json, RunId, TaskId};
use conductor_store::{ClaimedGroup, Fence, FenceSet, Inputs, OffsetSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Up to 64 claimed tasks of one block that are at the same attempt.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Different for each claimed group.
    group: u64,
    /// The id, the key and the index at offset 0 of the block.
    base_id: u128,
    base_key: u64,
    base_index: u32,
    attempt: u32,
    /// The position of the 64 tasks in the block. Which of them are in the batch, says `members`.
    word: usize,
    members: u64,
    pub(crate) run: RunId,
    pub(crate) parent: Option<TaskId>,
    /// An index into the engine's list of kinds.
    pub(crate) kind: usize,
    inputs: BatchInputs,
    pub(crate) retry_count: u32,
    pub(crate) timeout_ms: Option<u32>,
    pub(crate) isolated: bool,
    /// The tasks that have not started and may start.
    waiting: AtomicU64,
    /// The tasks that the engine has claimed. Only the scheduler changes it.
    claimed: AtomicU64,
    /// The tasks that succeeded without an output since the scheduler last took them.
    succeeded: AtomicU64,
}

/// The inputs of the tasks of a batch.
#[derive(Debug)]
enum BatchInputs {
    /// All tasks have this one, or none.
    Shared(Option<Json>),
    /// One for each task, until the task starts: a task that runs for long holds only its own.
    Each(Vec<Mutex<Option<Json>>>),
}

/// Orders batches: by the key of the first task that a batch could have, then by the number of its group.
pub(crate) type BatchPlace = (u64, u64);

/// Returns the bits of a word, the lowest first, each as a word of its own.
pub(crate) fn bits(mut word: u64) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let bit = word & word.wrapping_neg();
        word ^= bit;
        (bit != 0).then_some(bit)
    })
}

impl Batch {
    /// Divides a claimed group into batches. `kind` is an index into the engine's list of kinds, `number` is different for
    /// each group.
    pub(crate) fn of_group(group: ClaimedGroup, kind: usize, number: u64) -> Vec<Arc<Self>> {
        let words = group.fences.offsets.words();
        let mut inputs = match group.inputs {
            Inputs::Shared(input) => Err(input),
            Inputs::Each(inputs) => Ok(inputs.into_iter()),
        };
        let words = words.into_iter().enumerate().filter(|(_, members)| *members != 0);
        let batch = |(word, members): (usize, u64)| {
            let inputs = match &mut inputs {
                Err(shared) => BatchInputs::Shared(shared.clone()),
                Ok(each) => {
                    BatchInputs::Each(each.take(members.count_ones() as usize).map(Mutex::new).collect())
                }
            };
            Arc::new(Self {
                group: number,
                base_id: group.fences.base_id,
                base_key: group.fences.base_key,
                base_index: group.base_index,
                attempt: group.fences.attempt,
                word,
                members,
                run: group.run,
                parent: group.parent,
                kind,
                inputs,
                retry_count: group.retry_count,
                timeout_ms: group.timeout_ms,
                isolated: group.isolated,
                waiting: AtomicU64::new(members),
                claimed: AtomicU64::new(members),
                succeeded: AtomicU64::new(0),
            })
        };
        words.map(batch).collect()
    }

    fn offset(&self, bit: u64) -> u16 {
        u16::try_from(self.word * 64).unwrap_or_default()
            + u16::try_from(bit.trailing_zeros()).unwrap_or_default()
    }

    /// Returns the key of the first task that the batch could have.
    fn first_key(&self) -> u64 {
        self.base_key + 64 * self.word as u64
    }

    /// Returns where the batch is among all batches.
    pub(crate) fn place(&self) -> BatchPlace {
        (self.first_key(), self.group)
    }

    /// Returns the fence of one task.
    pub(crate) fn fence(&self, bit: u64) -> Fence {
        self.fences(0).fence(self.offset(bit))
    }

    /// Returns the fences of these tasks.
    pub(crate) fn fences(&self, tasks: u64) -> FenceSet {
        let mut words = [0; OffsetSet::WORDS];
        words[self.word] = tasks;
        FenceSet {
            base_id: self.base_id,
            base_key: self.base_key,
            attempt: self.attempt,
            offsets: OffsetSet::from_words(words),
        }
    }

    /// Returns the index of one task among its siblings, from 1; 0 for a join.
    pub(crate) fn index(&self, bit: u64) -> u32 {
        self.base_index.wrapping_add(self.offset(bit).into())
    }

    /// Takes the input of one task, which starts.
    pub(crate) fn take_input(&self, bit: u64) -> Option<Json> {
        match &self.inputs {
            BatchInputs::Shared(input) => input.clone(),
            BatchInputs::Each(inputs) => {
                lock(inputs.get((self.members & (bit - 1)).count_ones() as usize)?).take()
            }
        }
    }

    /// Returns the number of tasks, and how many bytes of inputs those have that have not started.
    pub(crate) fn size(&self) -> (usize, usize) {
        let bytes = |input: &Option<Json>| input.as_ref().map_or(0, |input| input.as_str().len());
        let tasks = self.members.count_ones() as usize;
        let bytes = match &self.inputs {
            BatchInputs::Shared(input) => bytes(input),
            BatchInputs::Each(inputs) => inputs.iter().map(|input| bytes(&lock(input))).sum(),
        };
        (tasks, bytes)
    }

    /// Returns the tasks that have not started and may start.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Takes the first task that has not started.
    pub(crate) fn take_waiting(&self) -> Option<u64> {
        let first = |waiting: u64| waiting.checked_sub(1).map(|below| waiting & below);
        let waiting = self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, first).ok()?;
        Some(waiting & waiting.wrapping_neg())
    }

    /// Revokes tasks: they will not start. Returns those that had not started, and drops their inputs: another task of the
    /// batch may run for long.
    pub(crate) fn revoke(&self, tasks: u64) -> u64 {
        let revoked = self.waiting.fetch_and(!tasks, Ordering::SeqCst) & tasks;
        if matches!(self.inputs, BatchInputs::Each(_)) {
            bits(revoked).for_each(|bit| drop(self.take_input(bit)));
        }
        revoked
    }

    /// Returns the tasks that the engine has claimed.
    pub(crate) fn claimed(&self) -> u64 {
        self.claimed.load(Ordering::SeqCst)
    }

    /// Ends the claim of tasks. Returns those that were claimed.
    pub(crate) fn unclaim(&self, tasks: u64) -> u64 {
        self.claimed.fetch_and(!tasks, Ordering::SeqCst) & tasks
    }

    /// Records that a task has succeeded without an output. Returns whether it is the first one since the last
    /// [`take_succeeded`](Self::take_succeeded).
    pub(crate) fn succeed(&self, bit: u64) -> bool {
        self.succeeded.fetch_or(bit, Ordering::SeqCst) == 0
    }

    /// Takes the tasks that have succeeded without an output.
    pub(crate) fn take_succeeded(&self) -> u64 {
        self.succeeded.swap(0, Ordering::SeqCst)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// A claimed group of tasks at these offsets of a block; the task at offset `n` has the input `n`.
    fn group(offsets: impl IntoIterator<Item = u16>) -> ClaimedGroup {
        let offsets: OffsetSet = offsets.into_iter().collect();
        ClaimedGroup {
            fences: FenceSet { base_id: 1 << 90, base_key: 7 * 1024, attempt: 3, offsets },
            run: RunId::from_u128(1),
            parent: None,
            base_index: 2001,
            quota_index: 0,
            inputs: Inputs::Each(offsets.iter().map(|offset| Json::of(&offset).ok()).collect()),
            retry_count: 0,
            timeout_ms: None,
            isolated: false,
        }
    }

    #[test]
    fn batches_have_the_tasks_of_the_group() {
        let group = group([0, 5, 63, 64, 700, 701, 1023]);
        let batches = Batch::of_group(group.clone(), 0, 1);
        assert_eq!(batches.len(), 4);
        let mut seen = Vec::new();
        for batch in &batches {
            while let Some(bit) = batch.take_waiting() {
                seen.push((batch.fence(bit), batch.index(bit), batch.take_input(bit)));
            }
        }
        let expected: Vec<_> = group.tasks().map(|task| (task.fence, task.index, task.input)).collect();
        assert_eq!(seen, expected);
        let fences = batches.iter().flat_map(|batch| batch.fences(batch.claimed()).iter());
        assert_eq!(fences.collect::<Vec<_>>(), group.fences.iter().collect::<Vec<_>>());
    }

    #[test]
    fn each_task_is_started_once_or_revoked() {
        let batches: Vec<_> = (0..5000).flat_map(|_| Batch::of_group(group(0..64), 0, 1)).collect();
        // A thread that is behind finds empty batches until it meets the other one.
        let start = |batch: &Arc<Batch>| std::iter::from_fn(|| batch.take_waiting()).collect::<Vec<u64>>();
        let start_all = || batches.iter().map(start).collect::<Vec<_>>();
        let (left, right, revoked) = thread::scope(|scope| {
            let (left, right) = (scope.spawn(start_all), scope.spawn(start_all));
            let revoked: Vec<u64> = batches.iter().map(|batch| batch.revoke(0xFF << 32)).collect();
            (left.join().unwrap(), right.join().unwrap(), revoked)
        });
        for ((left, right), revoked) in left.into_iter().zip(right).zip(revoked) {
            let mut all: Vec<u64> = left.into_iter().chain(right).chain(bits(revoked)).collect();
            all.sort_unstable();
            assert_eq!(all, (0..64).map(|n| 1 << n).collect::<Vec<u64>>());
        }
    }

    #[test]
    fn started_task_is_not_revoked() {
        let batch = Batch::of_group(group(0..64), 0, 1).remove(0);
        assert_eq!(batch.take_waiting(), Some(1));
        assert_eq!(batch.revoke(0b111), 0b110);
        assert_eq!(batch.revoke(u64::MAX), !0b111);
        assert_eq!(batch.take_waiting(), None);
    }

    #[test]
    fn revoked_tasks_hold_no_inputs() {
        let batch = Batch::of_group(group(0..64), 0, 1).remove(0);
        let bytes_of_one = Json::of(&0).unwrap().as_str().len();
        assert_eq!(batch.revoke(!1), !1);
        assert_eq!(batch.size(), (64, bytes_of_one));
    }

    #[test]
    fn first_success_tells_the_scheduler() {
        let batch = Batch::of_group(group(0..64), 0, 1).remove(0);
        assert!(batch.succeed(1));
        assert!(!batch.succeed(4));
        assert_eq!(batch.take_succeeded(), 5);
        assert!(batch.succeed(8));
        assert_eq!((batch.unclaim(5), batch.unclaim(1)), (5, 0));
        assert_eq!(batch.claimed(), !5);
    }
}
