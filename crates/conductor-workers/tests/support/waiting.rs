//! Waits with a time limit, so that a hang fails the test by name.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// A time that no step of a test reaches, even on a busy machine.
pub(crate) const TIME_LIMIT: Duration = Duration::from_mins(1);

/// Ends the test program with a message, unless it is dropped within [`TIME_LIMIT`].
pub(crate) struct Watchdog {
    _running: Sender<()>,
}

impl Watchdog {
    /// Starts to watch an action.
    pub(crate) fn new(action: &str) -> Self {
        let (running, ended): (Sender<()>, Receiver<()>) = mpsc::channel();
        let test = thread::current().name().unwrap_or("a test").to_owned();
        let action = action.to_owned();
        thread::spawn(move || {
            if ended.recv_timeout(TIME_LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{test}: {action} hangs");
                std::process::abort();
            }
        });
        Self { _running: running }
    }
}

/// Polls until a condition holds.
///
/// # Panics
/// After [`TIME_LIMIT`].
pub(crate) fn wait_until(condition: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < TIME_LIMIT, "condition not reached: {condition}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Returns the next message of a channel.
///
/// # Panics
/// After [`TIME_LIMIT`].
pub(crate) fn receive<T>(messages: &Receiver<T>) -> T {
    messages.recv_timeout(TIME_LIMIT).expect("a message")
}
