//! The worker threads of an engine.
//!
//! The coordinator puts batches of claimed tasks into one queue. All threads take tasks out of the first batch, in their order
//! and without a lock; a thread that finds it empty locks the queue, for the next one. They call the handlers. Successes
//! without an output are bits of their batch; every other result goes to the mailbox. Threads are created when they are needed.
//! A thread whose handler ignores its timeout is lost until the handler returns; a spare thread replaces it while there are
//! spare threads.

mod queue;
mod thread_count;

use super::config::PoolConfig;
use super::mailbox::Mailbox;
use super::scheduler::{LeaseValidity, Scheduler, Workers};
use super::trace;
#[cfg(feature = "tokio")]
use crate::handler::async_runtime::AsyncRuntime;
use crate::handler::attempt::{Attempt, Finished};
use crate::handler::batch::Batch;
use crate::handler::call::{Call, panic_result};
use crate::handler::context::{Context, ContextShared};
use crate::handler::running::RunningAttempts;
use conductor_model::{AttemptFailure, TaskId};
use conductor_store::AttemptResult;
use queue::Queue;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use thread_count::ThreadCount;
#[cfg(feature = "tokio")]
use tracing::Instrument as _;

/// The name of each thread.
pub(super) const WORKER_THREAD: &str = "conductor-worker";

/// How long a thread waits before it checks again whether claims are valid.
const RECHECK_EVERY: Duration = Duration::from_millis(5);

pub(super) struct Pool {
    workers: u32,
    spare_threads: u32,
    handlers: Vec<Call>,
    #[cfg(feature = "tokio")]
    runtime: AsyncRuntime,
    pub(super) shared: Arc<ContextShared>,
    pub(super) mailbox: Arc<Mailbox>,
    lease_validity: LeaseValidity,
    running: Arc<RunningAttempts>,
    queue: Mutex<Queue>,
    /// Notified when an attempt can start, and when the pool closes.
    work: Condvar,
    threads: Arc<ThreadCount>,
}

impl Pool {
    pub(super) fn new(
        config: PoolConfig,
        shared: Arc<ContextShared>,
        mailbox: Arc<Mailbox>,
        scheduler: &Scheduler,
    ) -> Self {
        let running = scheduler.running();
        Self {
            workers: config.workers,
            spare_threads: config.spare_threads,
            handlers: config.handlers,
            #[cfg(feature = "tokio")]
            runtime: AsyncRuntime::new(config.runtime),
            shared,
            mailbox,
            lease_validity: scheduler.lease_validity(),
            queue: Mutex::new(Queue::new(running.free_slots())),
            running,
            work: Condvar::new(),
            threads: Arc::default(),
        }
    }

    /// Puts batches into the queue, in their order. The coordinator calls it in each turn, so that threads are requested
    /// again that the system refused.
    pub(super) fn run(self: &Arc<Self>, batches: Vec<Arc<Batch>>) {
        let mut queue = self.lock();
        queue.extend(batches);
        self.notify_threads(&mut queue);
    }

    /// No longer waits for an attempt whose handler was asked to stop.
    fn abandon(self: &Arc<Self>, attempt: &Attempt) {
        // Under the lock: the thread that finishes the attempt second finds it among the abandoned ones.
        let mut queue = self.lock();
        if queue.abandon(attempt) {
            self.free(&mut queue, attempt.slot);
            self.notify_threads(&mut queue);
        }
    }

    /// Returns how many workers have no thread, because abandoned handlers occupy more than the spare threads.
    pub(super) fn lost_workers(&self) -> u32 {
        u32::try_from(self.lock().abandoned().len()).unwrap_or(u32::MAX).saturating_sub(self.spare_threads)
    }

    /// Returns whether an attempt at this task was abandoned, and its handler has not returned.
    pub(super) fn is_abandoned(&self, task: TaskId) -> bool {
        self.lock().abandoned().contains(&task)
    }

    /// Ends the threads, and waits for them if no handler runs.
    pub(super) fn close(&self) {
        let is_quiet = {
            let mut queue = self.lock();
            queue.close();
            queue.abandoned().is_empty() && self.running.attempts().next().is_none()
        };
        self.work.notify_all();
        if is_quiet {
            self.threads.wait_for_none();
        }
    }

    /// Notifies as many threads as have work, and creates missing ones.
    fn notify_threads(self: &Arc<Self>, queue: &mut Queue) {
        let needed = queue.threads_needed(&self.handlers).saturating_sub(queue.notified);
        let waiting = needed.min(queue.idle);
        for _ in 0..waiting {
            queue.idle -= 1;
            queue.notified += 1;
            self.work.notify_one();
        }
        for _ in waiting..needed {
            if queue.threads >= self.workers + self.spare_threads {
                break;
            }
            let (pool, counted) = (Arc::clone(self), ThreadCount::add(&self.threads));
            let body = move || {
                // Counted until the thread has dropped the pool.
                let _counted = counted;
                pool.work();
            };
            // Without a new thread the attempt waits for another thread, or for the next turn.
            if thread::Builder::new().name(WORKER_THREAD.into()).spawn(body).is_err() {
                break;
            }
            queue.threads += 1;
        }
    }

    /// Runs tasks until the pool closes.
    fn work(self: Arc<Self>) {
        let mut slot = None;
        while let Some((batch, free)) = self.next_batch(slot.take()) {
            slot = self.run_batch(&batch, free);
            if slot.is_some() && batch.waiting() != 0 {
                // The leases may have ended. Not on the condition variable: a thread that is notified there must take a task.
                thread::sleep(RECHECK_EVERY);
            }
        }
    }

    /// Waits for a batch with tasks to start, and for a slot to run them in. Returns `None` when the pool closes.
    fn next_batch(&self, mut slot: Option<usize>) -> Option<(Arc<Batch>, usize)> {
        let mut queue = self.lock();
        loop {
            if !queue.closed
                && let Some(batch) = queue.next()
                && let Some(slot) = slot.or_else(|| queue.free_slots.pop())
            {
                return Some((batch, slot));
            }
            if let Some(slot) = slot.take() {
                self.free(&mut queue, slot);
            }
            if queue.closed {
                queue.threads -= 1;
                return None;
            }
            queue.idle += 1;
            let is_quiet = |queue: &mut Queue| queue.notified == 0 && !queue.closed;
            queue = self.work.wait_while(queue, is_quiet).unwrap_or_else(PoisonError::into_inner);
            queue.notified = queue.notified.saturating_sub(1);
        }
    }

    /// Runs tasks of a batch until none is left to start, or the leases may have ended. Returns the slot if the thread still
    /// has it.
    fn run_batch(self: &Arc<Self>, batch: &Arc<Batch>, slot: usize) -> Option<usize> {
        loop {
            let now = self.shared.clock.elapsed();
            if !self.lease_validity.holds(now) {
                return Some(slot);
            }
            let Some(bit) = batch.take_waiting() else { return Some(slot) };
            let attempt = Attempt::start(Arc::clone(batch), bit, slot, now);
            self.running.start(&attempt);
            // The engine may have ended the claim before it could see the attempt.
            let keeps_slot = if attempt.is_claimed() { self.call(attempt) } else { self.end(&attempt) };
            if !keeps_slot {
                return None;
            }
        }
    }

    /// Calls the handler of an attempt. Returns whether the thread still has the slot.
    fn call(self: &Arc<Self>, attempt: Arc<Attempt>) -> bool {
        let context = Context { attempt: Arc::clone(&attempt), shared: Arc::clone(&self.shared) };
        match &self.handlers[attempt.batch.kind] {
            Call::Sync(handler) => {
                // The handler catches its own panics; a subscriber of `tracing` may panic too.
                let call = || {
                    let span = trace::attempt_span(&context.attempt, context.kind());
                    span.in_scope(|| handler(context))
                };
                let result = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(panic_result);
                self.attempt_returned(attempt, Some(result))
            }
            #[cfg(feature = "tokio")]
            Call::Async(handler) => {
                let handler = Arc::clone(handler);
                // The handler is called on the runtime too: it may need it before its first await, and it may panic.
                let future = async move {
                    let span = trace::attempt_span(&context.attempt, context.kind());
                    async move { handler(context).await }.instrument(span).await
                };
                let (pool, returned) = (Arc::clone(self), Arc::clone(&attempt));
                self.runtime.run(future, attempt.cancel_token(), move |result| {
                    let slot = returned.slot;
                    if pool.attempt_returned(returned, result) {
                        // A worker became free, and no thread of the pool noticed it.
                        let mut queue = pool.lock();
                        pool.free(&mut queue, slot);
                        pool.notify_threads(&mut queue);
                    }
                });
                false
            }
        }
    }

    /// Delivers the result of a handler that returned; `None` if its future was dropped. A handler that returned after
    /// its timeout has failed, even if the coordinator has not noticed the timeout. Returns whether the attempt still has its
    /// slot.
    fn attempt_returned(&self, attempt: Arc<Attempt>, mut result: Option<AttemptResult>) -> bool {
        if result.is_some() && attempt.is_overdue(self.shared.clock.elapsed()) {
            result = Some(AttemptResult::Failed(AttemptFailure::TimedOut));
        }
        let has_slot = self.end(&attempt);
        if let Some(finished) = Finished::record(attempt, result) {
            self.mailbox.deliver(finished);
        }
        has_slot
    }

    /// Ends an attempt whose handler has returned. Returns whether it still has its slot: the engine takes it from an attempt
    /// that it abandons.
    fn end(&self, attempt: &Attempt) -> bool {
        let is_first = attempt.finish();
        if !is_first {
            self.lock().forget_abandoned(attempt);
        }
        is_first
    }

    /// Gives a slot back.
    fn free(&self, queue: &mut Queue, slot: usize) {
        self.running.clear(slot);
        queue.free_slots.push(slot);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Workers for &Arc<Pool> {
    fn lost(&self) -> u32 {
        self.lost_workers()
    }

    fn abandon(&mut self, attempts: Vec<Arc<Attempt>>) {
        for attempt in attempts {
            Pool::abandon(self, &attempt);
        }
    }

    fn run(&mut self, batches: Vec<Arc<Batch>>) {
        Pool::run(self, batches);
    }
}
