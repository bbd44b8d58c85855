//! The messages to the coordinator of an engine.

use crate::handler::attempt::Finished;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Finished attempts, wake-ups, and the request to stop.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    mail: Mutex<Mail>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct Mail {
    pub(super) finished: Vec<Finished>,
    /// The store may have changed.
    woken: bool,
    pub(super) stop: Option<Stop>,
    /// Whether the coordinator waits for mail.
    awaited: bool,
}

impl Mail {
    fn is_empty(&self) -> bool {
        self.finished.is_empty() && !self.woken
    }
}

/// How an engine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    /// After the running handlers have returned.
    Graceful,
    /// Immediately.
    Now,
}

impl Mailbox {
    /// Delivers what has finished.
    pub(super) fn deliver(&self, finished: Finished) {
        let mut mail = self.lock();
        mail.finished.push(finished);
        // The first delivery has woken the coordinator.
        let is_first = mail.finished.len() == 1;
        drop(mail);
        if is_first {
            self.arrived.notify_one();
        }
    }

    /// Wakes the coordinator.
    pub(super) fn wake(&self) {
        self.lock().woken = true;
        self.arrived.notify_one();
    }

    /// Requests a graceful stop. The second request is for an immediate one.
    pub(super) fn stop(&self) {
        let mut mail = self.lock();
        mail.stop = Some(if mail.stop.is_some() { Stop::Now } else { Stop::Graceful });
        drop(mail);
        self.arrived.notify_one();
    }

    /// Requests an immediate stop.
    pub(super) fn stop_now(&self) {
        self.lock().stop = Some(Stop::Now);
        self.arrived.notify_one();
    }

    /// Returns the request to stop.
    pub(super) fn stop_request(&self) -> Option<Stop> {
        self.lock().stop
    }

    /// Takes the mail. The request to stop remains.
    pub(super) fn take(&self) -> Mail {
        let mut mail = self.lock();
        let stop = mail.stop;
        std::mem::replace(&mut *mail, Mail { stop, ..Mail::default() })
    }

    /// Waits for mail, for a request to stop other than `known`, or for the timeout. Returns `false` after the timeout.
    pub(super) fn wait(&self, timeout: Duration, known: Option<Stop>) -> bool {
        let mut mail = self.lock();
        mail.awaited = true;
        let is_quiet = |mail: &mut Mail| mail.is_empty() && mail.stop == known;
        let waited = self.arrived.wait_timeout_while(mail, timeout, is_quiet);
        let (mut mail, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        mail.awaited = false;
        !waited.timed_out()
    }

    /// Returns whether the coordinator waits, and neither mail nor a request to stop has arrived.
    pub(super) fn is_reader_waiting(&self) -> bool {
        let mail = self.lock();
        mail.awaited && mail.is_empty() && mail.stop.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;
    use std::time::Instant;

    /// Longer than a busy machine takes to wake a thread.
    const LONG: Duration = Duration::from_secs(5);

    /// Checks that a message wakes a waiting reader.
    #[track_caller]
    fn assert_wakes(send: impl FnOnce(&Mailbox)) {
        let mailbox = Arc::new(Mailbox::default());
        let waiting = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                let began = Instant::now();
                (mailbox.wait(LONG, None), began.elapsed())
            })
        };
        thread::sleep(Duration::from_millis(50));
        send(&mailbox);
        let (arrived, waited) = waiting.join().unwrap();
        assert!(arrived && waited < LONG, "{waited:?}");
    }

    #[test]
    fn wake_ends_wait() {
        assert_wakes(Mailbox::wake);
    }

    #[test]
    fn stop_request_ends_wait() {
        assert_wakes(Mailbox::stop);
        assert_wakes(Mailbox::stop_now);
    }

    #[test]
    fn reader_with_message_is_not_waiting() {
        for send in [Mailbox::wake, Mailbox::stop, Mailbox::stop_now] {
            let mailbox = Mailbox::default();
            assert!(!mailbox.is_reader_waiting());
            // The message arrives before the reader is awake.
            mailbox.lock().awaited = true;
            assert!(mailbox.is_reader_waiting());
            send(&mailbox);
            assert!(!mailbox.is_reader_waiting());
        }
    }

    #[test]
    fn mail_ends_wait_until_taken() {
        let mailbox = Mailbox::default();
        mailbox.wake();
        assert!(mailbox.wait(LONG, None));
        assert!(mailbox.take().woken);
        assert!(!mailbox.wait(Duration::ZERO, None));
        mailbox.stop();
        assert!(mailbox.wait(LONG, None));
        assert!(!mailbox.wait(Duration::ZERO, Some(Stop::Graceful)), "the request is known");
    }
}
