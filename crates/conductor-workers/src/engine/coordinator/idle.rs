//! Waits while an engine has no work.

use super::idle_timer::MIN_IDLE_WAIT;
use super::state::Coordinator;
use crate::engine::mailbox::Stop;
use crate::limits::POLL_INTERVAL;
use conductor_store::StoreError;
use std::time::Duration;

impl Coordinator {
    /// Waits until there is work. It only reads from the store, and little.
    pub(super) fn idle(&mut self, change_token: u64, stop: Option<Stop>) -> Result<(), StoreError> {
        // A handler often returns within microseconds: check before reading from the store.
        if self.is_woken(Duration::ZERO, stop) {
            return Ok(());
        }
        // A task that was due when the last turn began waits for something else, such as the next rescue.
        let due = self.store.next_due()?.filter(|due| *due > self.turn_began);
        let mut kinds_checked = false;
        loop {
            let now = self.clock.elapsed();
            let wake_at = self.next_wake(now);
            let until_due =
                due.map_or(POLL_INTERVAL, |due| Duration::from_millis(due.millis_since(self.env.now())));
            let wait = self.idle_timer.next_wait().min(wake_at.saturating_sub(now)).min(until_due);
            if self.is_woken(wait.max(MIN_IDLE_WAIT), stop) {
                return Ok(());
            }
            if self.idle_timer.grow() {
                self.store.on_idle();
            }
            if self.store.change_token()? != change_token {
                self.channels.completion.notify();
                return Ok(());
            }
            // Not earlier: if other processes write all the time, the watcher would wake the engine for each write.
            if self.idle_timer.is_at_maximum()
                && let Some(watcher) = &self.write_watcher
            {
                watcher.watch();
            }
            if due.is_some_and(|due| due <= self.env.now()) || self.clock.elapsed() >= wake_at {
                return Ok(());
            }
            if !kinds_checked {
                // Once is enough: the store has not changed since.
                kinds_checked = true;
                self.warnings.check_unhandled_kinds(&*self.store)?;
            }
        }
    }

    /// Waits for the mailbox. Returns whether it woke the coordinator.
    fn is_woken(&mut self, timeout: Duration, stop: Option<Stop>) -> bool {
        let is_woken = self.channels.mailbox.wait(timeout, stop);
        if is_woken {
            self.idle_timer.reset();
        }
        is_woken
    }

    /// Returns when the engine has work again if nothing changes.
    fn next_wake(&self, now: Duration) -> Duration {
        let scheduler = self.shared.lock();
        let wakes = [scheduler.next_wake(now), self.progress_writer.next_write()];
        wakes.into_iter().flatten().fold(scheduler.next_rescue(), Duration::min)
    }
}
