//! What others tell the thread that coordinates an engine.

use super::scheduler::FinishedAttempt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Attempts that finished, word that something may be ready, and the wish to stop.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    mail: Mutex<Mail>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct Mail {
    pub(crate) finished: Vec<FinishedAttempt>,
    /// Somebody wrote something.
    pub(crate) woken: bool,
    pub(crate) stop: Option<Stop>,
    /// Its reader waits for it.
    awaited: bool,
}

impl Mail {
    fn is_empty(&self) -> bool {
        self.finished.is_empty() && !self.woken
    }
}

/// How an engine is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// When what runs has finished.
    Graceful,
    /// Now.
    AtOnce,
}

impl Mailbox {
    pub(crate) fn finished(&self, finished: FinishedAttempt) {
        let mut mail = self.lock();
        mail.finished.push(finished);
        // Whoever put the first one there woke the reader.
        let first = mail.finished.len() == 1;
        drop(mail);
        if first {
            self.arrived.notify_one();
        }
    }

    pub(crate) fn wake(&self) {
        self.lock().woken = true;
        self.arrived.notify_one();
    }

    /// Asks for a stop: a graceful one, and at the second time one at once.
    pub(crate) fn stop(&self) {
        let mut mail = self.lock();
        mail.stop = Some(if mail.stop.is_some() { Stop::AtOnce } else { Stop::Graceful });
        drop(mail);
        self.arrived.notify_one();
    }

    pub(crate) fn stop_now(&self) {
        self.lock().stop = Some(Stop::AtOnce);
        self.arrived.notify_one();
    }

    /// The wish to stop, if there is one.
    pub(crate) fn stop_wish(&self) -> Option<Stop> {
        self.lock().stop
    }

    /// Everything that arrived; the wish to stop stays.
    pub(crate) fn take(&self) -> Mail {
        let mut mail = self.lock();
        let stop = mail.stop;
        std::mem::replace(&mut *mail, Mail { stop, ..Mail::default() })
    }

    /// Waits so long, or until something arrives that was not `known`; whether it did.
    pub(crate) fn wait(&self, patience: Duration, known: Option<Stop>) -> bool {
        let mut mail = self.lock();
        mail.awaited = true;
        let nothing = |mail: &mut Mail| mail.is_empty() && mail.stop == known;
        let waited = self.arrived.wait_timeout_while(mail, patience, nothing);
        let (mut mail, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        mail.awaited = false;
        !waited.timed_out()
    }

    /// Whether its reader waits, and nothing has arrived, nor the wish to stop.
    pub(crate) fn is_awaited(&self) -> bool {
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

    /// Longer than it takes to wake a thread, on however busy a machine.
    const LONG: Duration = Duration::from_secs(5);

    /// Something arrives while somebody waits: whoever waits is woken.
    #[track_caller]
    fn wakes(tell: impl FnOnce(&Mailbox)) {
        let mailbox = Arc::new(Mailbox::default());
        let waiting = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                let began = Instant::now();
                (mailbox.wait(LONG, None), began.elapsed())
            })
        };
        thread::sleep(Duration::from_millis(50));
        tell(&mailbox);
        let (arrived, waited) = waiting.join().unwrap();
        assert!(arrived && waited < LONG, "{waited:?}");
    }

    #[test]
    fn a_nudge_wakes_whoever_waits() {
        wakes(Mailbox::wake);
    }

    #[test]
    fn a_wish_to_stop_wakes_whoever_waits() {
        wakes(Mailbox::stop);
        wakes(Mailbox::stop_now);
    }

    #[test]
    fn a_reader_that_was_told_of_something_waits_no_longer() {
        for tell in [Mailbox::wake, Mailbox::stop, Mailbox::stop_now] {
            let mailbox = Mailbox::default();
            assert!(!mailbox.is_awaited());
            // It is told before it is awake again.
            mailbox.lock().awaited = true;
            assert!(mailbox.is_awaited());
            tell(&mailbox);
            assert!(!mailbox.is_awaited());
        }
    }

    #[test]
    fn nothing_is_waited_for_until_it_is_taken() {
        let mailbox = Mailbox::default();
        mailbox.wake();
        assert!(mailbox.wait(LONG, None));
        assert!(mailbox.take().woken);
        assert!(!mailbox.wait(Duration::ZERO, None));
        mailbox.stop();
        assert!(mailbox.wait(LONG, None));
        assert!(!mailbox.wait(Duration::ZERO, Some(Stop::Graceful)), "that is known");
    }
}
