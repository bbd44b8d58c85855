//! A thread that sees other processes write, and wakes the coordinator.

use crate::engine::mailbox::Mailbox;
use conductor_store::WriteNotifier;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Looks out while the coordinator has nothing to do: else it sees what is written by itself.
pub(crate) struct WriteWatcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    write_notifier: Box<dyn WriteNotifier>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Resting,
    LookingOut,
    Over,
}

impl WriteWatcher {
    /// One that rests; `None` if the system has no thread for it, and then there are only polls.
    pub(crate) fn start(write_notifier: Box<dyn WriteNotifier>, mailbox: Arc<Mailbox>) -> Option<Self> {
        let shared = Shared { write_notifier, state: Mutex::new(State::Resting), changed: Condvar::new() };
        let shared = Arc::new(shared);
        let looking = Arc::clone(&shared);
        let thread = thread::Builder::new().name("conductor-lookout".into());
        let thread = thread.spawn(move || looking.run(&mailbox)).ok()?;
        Some(Self { shared, thread: Some(thread) })
    }

    /// The next write of anybody wakes the coordinator.
    pub(crate) fn look_out(&self) {
        let mut state = self.shared.lock();
        if *state == State::Resting {
            *state = State::LookingOut;
            self.shared.changed.notify_one();
        }
    }
}

impl Shared {
    fn run(&self, mailbox: &Mailbox) {
        loop {
            let resting = self.changed.wait_while(self.lock(), |state| *state == State::Resting);
            if *resting.unwrap_or_else(PoisonError::into_inner) == State::Over || !self.write_notifier.wait()
            {
                return;
            }
            let mut state = self.lock();
            if *state == State::LookingOut {
                *state = State::Resting;
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
        *self.shared.lock() = State::Over;
        self.shared.changed.notify_one();
        self.shared.write_notifier.close();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say, not even of a panic.
            let _ = thread.join();
        }
    }
}
