//! The coordinator: the thread that takes the turns of an engine.

mod idle;
mod idle_timer;
mod progress_writer;
mod state;
mod write_watcher;

use super::completion::EngineEnd;
use super::mailbox::Stop;
use super::scheduler::{Scheduler, TurnInput};
use super::store_retry::StoreRetry;
use super::trace;
use super::warning::Warning;
use crate::limits::POLL_INTERVAL;
use conductor_store::StoreError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

pub(super) use state::Coordinator;

/// The name of the thread.
pub(super) const ENGINE_THREAD: &str = "conductor-engine";

/// How often a busy engine checks for ready kinds without a handler.
const CHECK_KINDS_EVERY: Duration = Duration::from_secs(2);

/// The action after a turn.
enum AfterTurn {
    /// The next turn has work.
    Continue,
    /// There is no work until the store or the mailbox changes. Contains the change token from before the turn.
    Idle(u64),
    Stopped,
}

impl Coordinator {
    /// Works until the engine is asked to stop, or until the store fails for too long.
    pub(super) fn run(mut self) {
        // A caller that waits for this engine must be woken in every case.
        let end = match catch_unwind(AssertUnwindSafe(|| self.work())) {
            Ok(Ok(())) if self.shared.lock().is_runtime_shut_down() => EngineEnd::RuntimeShutDown,
            Ok(Ok(())) => EngineEnd::Stopped,
            Ok(Err(error)) => EngineEnd::StoreFailed(Arc::new(error)),
            Err(_) => EngineEnd::Panicked,
        };
        self.shared.lock().abandon_all();
        self.shared.pool.close();
        // Dropping it ends the registration of the engine: from now on others may rescue the remaining claims.
        drop(self.shared);
        self.channels.completion.finish(end.clone());
        match &end {
            EngineEnd::Stopped => trace::stopped(),
            EngineEnd::StoreFailed(error) => trace::store_failed(error),
            EngineEnd::RuntimeShutDown => trace::runtime_shut_down(),
            EngineEnd::Panicked => trace::panicked(),
        }
    }

    fn work(&mut self) -> Result<(), StoreError> {
        self.shared.lock().trace_start();
        let mut retry = StoreRetry::default();
        let mut stop = None;
        loop {
            let (pause, turn) = self.locked_turn(&mut stop);
            self.channels.events.notify();
            let continued = match turn {
                Ok(AfterTurn::Stopped) => return Ok(()),
                Ok(AfterTurn::Continue) => Ok(()),
                Ok(AfterTurn::Idle(change_token)) => {
                    thread::sleep(pause);
                    self.idle(change_token, stop)
                }
                Err(error) => Err(error),
            };
            match continued {
                Ok(()) => retry = StoreRetry::default(),
                Err(error @ StoreError::CorruptRow { .. }) => {
                    self.warnings.emit(&Warning::CorruptRow(error.to_string()));
                    self.channels.mailbox.wait(POLL_INTERVAL, stop);
                }
                Err(error) if retry.should_retry(&error, self.clock.elapsed(), stop) => {
                    trace::store_retried(&error);
                    self.channels.mailbox.wait(POLL_INTERVAL, stop);
                }
                // The claims that could not be released are rescued by another engine.
                Err(StoreError::Busy(_)) if stop == Some(Stop::Now) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes a turn with the scheduler locked. Returns how long the next turn may wait for more results.
    fn locked_turn(&mut self, stop: &mut Option<Stop>) -> (Duration, Result<AfterTurn, StoreError>) {
        let shared = Arc::clone(&self.shared);
        let mut scheduler = shared.lock();
        let turn = self.turn(&mut scheduler, stop);
        let pause = scheduler.end_turn(self.clock.elapsed());
        let (errors, is_shut_down) = (scheduler.take_corrupt_rows(), scheduler.is_runtime_shut_down());
        drop(scheduler);
        for error in errors {
            self.warnings.emit(&Warning::CorruptRow(error.to_string()));
        }
        if is_shut_down && self.channels.mailbox.stop_request().is_none() {
            // Without the runtime it could not run the tasks that it would claim.
            self.channels.mailbox.stop();
        }
        (pause, turn)
    }

    fn turn(&mut self, scheduler: &mut Scheduler, stop: &mut Option<Stop>) -> Result<AfterTurn, StoreError> {
        let mut mail = self.channels.mailbox.take();
        if mail.stop != *stop {
            *stop = mail.stop;
            // Before the releases, which may fail.
            scheduler.collect(std::mem::take(&mut mail.finished));
            match mail.stop {
                Some(Stop::Now) => scheduler.release_all()?,
                Some(Stop::Graceful) => scheduler.drain()?,
                None => {}
            }
        }
        // Before all other reads: a later write changes the token again.
        let change_token = self.store.change_token();
        let now = self.clock.elapsed();
        self.turn_began = self.env.now();
        let stops_now = *stop == Some(Stop::Now);
        let input = TurnInput {
            finished: mail.finished,
            change_token: change_token.as_ref().ok().copied(),
            takes_steps: !stops_now,
        };
        let steps = scheduler.turn(now, input, &mut &self.shared.pool)?;
        if stops_now {
            // More results may wait than one transaction settles.
            return Ok(if scheduler.is_empty() { AfterTurn::Stopped } else { AfterTurn::Continue });
        }
        if steps.runs_decided {
            self.channels.completion.notify();
        }
        self.progress_writer.write(scheduler, &self.env, now);
        if now >= self.next_kinds_check {
            self.next_kinds_check = now + CHECK_KINDS_EVERY;
            self.warnings.check_unhandled_kinds(&*self.store)?;
        }
        if stop.is_some() && scheduler.is_empty() {
            return Ok(AfterTurn::Stopped);
        }
        Ok(if steps.more { AfterTurn::Continue } else { AfterTurn::Idle(change_token?) })
    }
}
