//! The threads that run attempts.
//!
//! One queue, one lock: the engine puts attempts in, the threads take them out in turn and put what became of them into
//! the mailbox. Threads come into being when they are needed. One whose handler goes on after its time is lost until the
//! handler returns; a spare thread takes its place, as long as there are any.

use super::WORKER_THREAD;
use super::mailbox::Mailbox;
use super::scheduler::{FinishedAttempt, LeaseValidity};
use crate::engine::trace;
use crate::handler::attempt::Attempt;
use crate::handler::context::{Context, Shared};
use crate::handler::{Call, panicked};
use conductor_model::{AttemptFailure, TaskId};
use conductor_store::AttemptResult;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
#[cfg(feature = "tokio")]
use tracing::Instrument as _;

/// How long a thread waits before it asks again whether claims can be trusted.
const DISTRUST: Duration = Duration::from_millis(5);

pub(crate) struct Pool {
    pub(crate) workers: u32,
    /// How many threads there may be beyond `workers`.
    pub(crate) spare: u32,
    pub(crate) handlers: Vec<Call>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) trust: LeaseValidity,
    #[cfg(feature = "tokio")]
    pub(crate) runtime: crate::handler::async_runtime::Runtime,
    pub(crate) queue: Mutex<Queue>,
    pub(crate) work: Condvar,
    pub(crate) alive: Arc<Alive>,
}

/// How many threads there are. They hold it apart from the pool, which they let go first, and the store with it.
#[derive(Debug, Default)]
pub(crate) struct Alive {
    threads: Mutex<u32>,
    ended: Condvar,
}

/// One of them.
struct AliveThread(Arc<Alive>);

#[derive(Debug, Default)]
pub(crate) struct Queue {
    attempts: VecDeque<Arc<Attempt>>,
    /// How many attempts run, not counting those that nobody waits for.
    running: u32,
    /// The tasks whose handlers were told to give up and go on: a thread or a future is with each of them.
    deaf: Vec<TaskId>,
    threads: u32,
    /// How many threads wait, not counting those that were called.
    idle: u32,
    /// How many waiting threads were called and have not woken up yet.
    called: u32,
    closed: bool,
}

impl Pool {
    /// Puts attempts into the queue, in their order. Called in each turn, so that threads which the system refused are asked
    /// for again.
    pub(crate) fn run(self: &Arc<Self>, attempts: Vec<Arc<Attempt>>) {
        let mut queue = self.lock();
        queue.attempts.extend(attempts);
        self.call_workers(&mut queue);
    }

    /// Nobody waits any longer for an attempt whose handler was told to give up.
    pub(crate) fn give_up(self: &Arc<Self>, attempt: &Attempt) {
        // Under the lock: whoever ends it second counts on what the first one counted.
        let mut queue = self.lock();
        if attempt.began().is_some() && attempt.end() {
            queue.running -= 1;
            queue.deaf.push(attempt.fence.task);
            self.call_workers(&mut queue);
        }
    }

    /// How many workers are lost for want of spare threads.
    pub(crate) fn lost_workers(&self) -> u32 {
        u32::try_from(self.lock().deaf.len()).unwrap_or(u32::MAX).saturating_sub(self.spare)
    }

    /// Whether an attempt at this task is over, and its handler goes on all the same.
    pub(crate) fn is_deaf(&self, task: TaskId) -> bool {
        self.lock().deaf.contains(&task)
    }

    /// Lets the threads end when they come back. It waits for them unless one is with a handler that nobody waits for.
    pub(crate) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.attempts.clear();
        let all_are_back = queue.running == 0 && queue.deaf.is_empty();
        drop(queue);
        self.work.notify_all();
        if all_are_back {
            self.alive.wait_for_the_end();
        }
    }

    /// Wakes as many threads as can work now, and makes those that are missing.
    fn call_workers(self: &Arc<Self>, queue: &mut Queue) {
        let wanted = self.threads_wanted(queue).saturating_sub(queue.called);
        let waiting = wanted.min(queue.idle);
        for _ in 0..waiting {
            queue.idle -= 1;
            queue.called += 1;
            self.work.notify_one();
        }
        for _ in waiting..wanted {
            if queue.threads >= self.workers + self.spare {
                break;
            }
            let (pool, alive) = (Arc::clone(self), Alive::one_more(&self.alive));
            let life = move || {
                // Counted until the pool is let go.
                let _alive = alive;
                pool.work();
            };
            // Without a thread the attempt waits for one of the others, or for the next turn.
            let made = thread::Builder::new().name(WORKER_THREAD.into()).spawn(life);
            if made.is_err() {
                break;
            }
            queue.threads += 1;
        }
    }

    /// How many threads it takes to begin what may begin now: a plain handler keeps its thread, while one thread begins
    /// any number of asynchronous ones.
    fn threads_wanted(&self, queue: &Queue) -> u32 {
        let free = self.workers.saturating_sub(queue.running) as usize;
        let next = queue.attempts.iter().take(free);
        let plain = next.filter(|attempt| matches!(self.handlers[attempt.kind], Call::Plain(_))).count();
        let threads = plain + usize::from(plain < free.min(queue.attempts.len()));
        u32::try_from(threads).unwrap_or(u32::MAX)
    }

    /// The life of a thread.
    fn work(self: Arc<Self>) {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                queue.threads -= 1;
                return;
            }
            let next = if queue.running < self.workers { queue.attempts.pop_front() } else { None };
            let Some(attempt) = next else {
                queue.idle += 1;
                let not_called = |queue: &mut Queue| queue.called == 0 && !queue.closed;
                queue = self.work.wait_while(queue, not_called).unwrap_or_else(PoisonError::into_inner);
                queue.called = queue.called.saturating_sub(1);
                continue;
            };
            let now = self.shared.clock.elapsed();
            if attempt.is_taken_back() {
                continue;
            }
            if !self.trust.holds(now) {
                queue.attempts.push_front(attempt);
                drop(queue);
                // Not on the condition: whoever is called there must take what is ready.
                thread::sleep(DISTRUST);
                queue = self.lock();
            } else if attempt.begin(now) {
                queue.running += 1;
                drop(queue);
                self.call(attempt);
                queue = self.lock();
            }
        }
    }

    fn call(self: &Arc<Self>, attempt: Arc<Attempt>) {
        let context = Context { attempt: Arc::clone(&attempt), shared: Arc::clone(&self.shared) };
        match &self.handlers[attempt.kind] {
            Call::Plain(handler) => {
                // The handler's own panics are caught where it is called; this is for a subscriber's.
                let call = || {
                    let span = trace::attempt(&context.attempt, context.kind());
                    span.in_scope(|| handler(context))
                };
                let ending = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(panicked);
                self.came_back(attempt, Some(ending));
            }
            #[cfg(feature = "tokio")]
            Call::Asynchronous(handler) => {
                let handler = Arc::clone(handler);
                // The handler is called on the runtime too: it may need it before its first await, and it may panic.
                self.runtime.run(self, attempt, async move {
                    let span = trace::attempt(&context.attempt, context.kind());
                    async move { handler(context).await }.instrument(span).await
                });
            }
        }
    }

    /// A handler returned, or was dropped: then there is no ending. One that came back after its time has failed, also when
    /// the engine has not looked at it since.
    pub(crate) fn came_back(self: &Arc<Self>, attempt: Arc<Attempt>, mut ending: Option<AttemptResult>) {
        if ending.is_some() && attempt.is_late(self.shared.clock.elapsed()) {
            ending = Some(AttemptResult::Failed(AttemptFailure::TimedOut));
        }
        let mut queue = self.lock();
        if attempt.end() {
            queue.running -= 1;
        } else {
            let place = queue.deaf.iter().position(|task| *task == attempt.fence.task);
            place.map(|place| queue.deaf.swap_remove(place));
        }
        drop(queue);
        self.mailbox.finished(FinishedAttempt { attempt, ending });
    }

    /// A place became free that no thread of the pool noticed.
    #[cfg(feature = "tokio")]
    pub(crate) fn wake(self: &Arc<Self>) {
        self.call_workers(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Alive {
    fn one_more(alive: &Arc<Self>) -> AliveThread {
        *alive.lock() += 1;
        AliveThread(Arc::clone(alive))
    }

    fn wait_for_the_end(&self) {
        let _ended = self.ended.wait_while(self.lock(), |threads| *threads > 0);
    }

    fn lock(&self) -> MutexGuard<'_, u32> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AliveThread {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
        self.0.ended.notify_all();
    }
}
