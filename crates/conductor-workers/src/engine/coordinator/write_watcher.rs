//! A thread that notices writes of other processes, and wakes the coordinator.

use crate::engine::mailbox::Mailbox;
use conductor_store::WriteNotifier;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Watches for writes while the coordinator is idle. A busy coordinator sees them in its next turn.
pub(super) struct WriteWatcher {
    shared: Arc<WatcherShared>,
    thread: Option<JoinHandle<()>>,
}

struct WatcherShared {
    notifier: Box<dyn WriteNotifier>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Paused,
    Watching,
    Closed,
}

impl WriteWatcher {
    /// Starts a paused watcher. Returns `None` if the system has no thread for it; then the engine only polls.
    pub(super) fn start(notifier: Box<dyn WriteNotifier>, mailbox: Arc<Mailbox>) -> Option<Self> {
        let shared =
            Arc::new(WatcherShared { notifier, state: Mutex::new(State::Paused), changed: Condvar::new() });
        let watching = Arc::clone(&shared);
        let thread = thread::Builder::new().name("conductor-watcher".into());
        let thread = thread.spawn(move || watching.run(&mailbox)).ok()?;
        Some(Self { shared, thread: Some(thread) })
    }

    /// Wakes the coordinator at the next write.
    pub(super) fn watch(&self) {
        let mut state = self.shared.lock();
        if *state == State::Paused {
            *state = State::Watching;
            self.shared.changed.notify_one();
        }
    }
}

impl WatcherShared {
    fn run(&self, mailbox: &Mailbox) {
        loop {
            let state = self.changed.wait_while(self.lock(), |state| *state == State::Paused);
            if *state.unwrap_or_else(PoisonError::into_inner) == State::Closed || !self.notifier.wait() {
                return;
            }
            let mut state = self.lock();
            if *state == State::Watching {
                *state = State::Paused;
            }
            drop(state);
            mailbox.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WriteWatcher {
    fn drop(&mut self) {
        *self.shared.lock() = State::Closed;
        self.shared.changed.notify_one();
        self.shared.notifier.close();
        if let Some(thread) = self.thread.take() {
            // The thread returns no result, and a panic of it has been printed.
            let _ = thread.join();
        }
    }
}
