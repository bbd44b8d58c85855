//! The queue of a pool: the attempts to run, and the threads that run them.

use crate::handler::attempt::Attempt;
use crate::handler::call::Call;
use conductor_model::TaskId;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) attempts: VecDeque<Arc<Attempt>>,
    /// How many attempts run, without the abandoned ones.
    running: u32,
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
    /// Takes the next attempt, if fewer than `workers` run.
    pub(super) fn next(&mut self, workers: u32) -> Option<Arc<Attempt>> {
        if self.running < workers { self.attempts.pop_front() } else { None }
    }

    /// Counts an attempt that starts.
    pub(super) fn count_started(&mut self) {
        self.running += 1;
    }

    /// No longer counts an abandoned attempt. Returns `false` if its handler has returned, or was not called.
    pub(super) fn abandon(&mut self, attempt: &Attempt) -> bool {
        let is_first = attempt.has_started() && attempt.finish();
        if is_first {
            self.running -= 1;
            self.abandoned.push(attempt.fence.task);
        }
        is_first
    }

    /// No longer counts an attempt whose handler has returned.
    pub(super) fn count_returned(&mut self, attempt: &Attempt) {
        if attempt.finish() {
            self.running -= 1;
        } else if let Some(i) = self.abandoned.iter().position(|task| *task == attempt.fence.task) {
            self.abandoned.swap_remove(i);
        }
    }

    pub(super) fn abandoned(&self) -> &[TaskId] {
        &self.abandoned
    }

    /// Closes the queue. Returns whether no handler runs.
    pub(super) fn close(&mut self) -> bool {
        self.closed = true;
        self.attempts.clear();
        self.running == 0 && self.abandoned.is_empty()
    }

    /// Returns how many threads the attempts need that can start now. A synchronous handler keeps its thread; one thread
    /// starts any number of asynchronous handlers.
    pub(super) fn threads_needed(&self, workers: u32, handlers: &[Call]) -> u32 {
        let free = workers.saturating_sub(self.running) as usize;
        let next = self.attempts.iter().take(free);
        let sync = next.filter(|attempt| matches!(handlers[attempt.kind], Call::Sync(_))).count();
        let threads = sync + usize::from(sync < free.min(self.attempts.len()));
        u32::try_from(threads).unwrap_or(u32::MAX)
    }
}
