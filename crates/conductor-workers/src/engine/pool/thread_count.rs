//! Counts the threads of a pool.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How many threads of a pool exist. It outlives the pool: each thread drops the pool, and with it the store, first.
#[derive(Debug, Default)]
pub(super) struct ThreadCount {
    threads: Mutex<u32>,
    changed: Condvar,
}

/// One counted thread.
pub(super) struct CountedThread(Arc<ThreadCount>);

impl ThreadCount {
    /// Counts a thread until the returned value is dropped.
    pub(super) fn add(count: &Arc<Self>) -> CountedThread {
        *count.lock() += 1;
        CountedThread(Arc::clone(count))
    }

    /// Waits until no thread exists.
    pub(super) fn wait_for_none(&self) {
        let _none = self.changed.wait_while(self.lock(), |threads| *threads > 0);
    }

    fn lock(&self) -> MutexGuard<'_, u32> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CountedThread {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
        self.0.changed.notify_all();
    }
}
