//! The queue of a pool: the tasks to run, and the threads that run them.

use crate::handler::attempt::Attempt;
use crate::handler::batch::Batch;
use crate::handler::call::Call;
use conductor_model::TaskId;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Queue {
    batches: VecDeque<Arc<Batch>>,
    /// The slots that no worker has: see [`RunningAttempts`](crate::handler::running::RunningAttempts).
    pub(super) free_slots: Vec<usize>,
    /// The tasks of abandoned attempts whose handlers have not returned. A thread or a future runs each of them.
    abandoned: Vec<TaskId>,
    /// How many threads exist.
    pub(super) threads: u32,
    /// How many threads wait, without the notified ones.
    pub(super) idle: u32,
    /// How many waiting threads were notified, and have not woken up yet.
    pub(super) notified: u32,
    pub(super) closed: bool,
}

impl Queue {
    pub(super) fn new(free_slots: Vec<usize>) -> Self {
        Self {
            batches: VecDeque::new(),
            free_slots,
            abandoned: Vec::new(),
            threads: 0,
            idle: 0,
            notified: 0,
            closed: false,
        }
    }

    /// Adds batches behind the others.
    pub(super) fn extend(&mut self, batches: Vec<Arc<Batch>>) {
        self.batches.extend(batches);
    }

    /// Returns the first batch that has tasks to start. It stays in the queue, for the other threads.
    pub(super) fn next(&mut self) -> Option<Arc<Batch>> {
        while self.batches.front()?.waiting() == 0 {
            self.batches.pop_front();
        }
        self.batches.front().cloned()
    }

    /// Abandons an attempt: it loses its slot. Returns `false` if its handler has returned.
    pub(super) fn abandon(&mut self, attempt: &Attempt) -> bool {
        let is_first = attempt.finish();
        if is_first {
            self.abandoned.push(attempt.fence().task);
        }
        is_first
    }

    /// Forgets an abandoned attempt, whose handler has returned.
    pub(super) fn forget_abandoned(&mut self, attempt: &Attempt) {
        let task = attempt.fence().task;
        if let Some(i) = self.abandoned.iter().position(|abandoned| *abandoned == task) {
            self.abandoned.swap_remove(i);
        }
    }

    pub(super) fn abandoned(&self) -> &[TaskId] {
        &self.abandoned
    }

    /// Closes the queue.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.batches.clear();
    }

    /// Returns how many threads the tasks need that can start now. A synchronous handler keeps its thread; one thread
    /// starts any number of asynchronous handlers.
    pub(super) fn threads_needed(&self, handlers: &[Call]) -> u32 {
        let mut free = u32::try_from(self.free_slots.len()).unwrap_or(u32::MAX);
        let mut sync = 0;
        #[cfg_attr(not(feature = "tokio"), expect(unused_mut, reason = "all handlers are synchronous"))]
        let mut has_async = false;
        for batch in &self.batches {
            let tasks = batch.waiting().count_ones().min(free);
            match &handlers[batch.kind] {
                Call::Sync(_) => sync += tasks,
                #[cfg(feature = "tokio")]
                Call::Async(_) => has_async |= tasks > 0,
            }
            free -= tasks;
            if free == 0 {
                break;
            }
        }
        sync + u32::from(has_async)
    }
}
