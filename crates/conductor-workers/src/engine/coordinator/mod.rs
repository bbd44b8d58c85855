//! The thread that drives the core of an engine, turn by turn.

pub(crate) mod progress_writer;
pub(crate) mod write_watcher;

use super::completion::{Completion, EngineEnd};
use super::mailbox::{Mailbox, Stop};
use super::scheduler::Scheduler;
use super::shared::SharedScheduler;
use super::store_retry::StoreRetry;
use super::warning::{Warning, Warnings};
use crate::POLL_INTERVAL;
use crate::engine::trace;
use crate::event_signal::EventSignal;
use crate::handler::clock::Monotonic;
use crate::store::EngineStore;
use conductor_model::Timestamp;
use conductor_store::{Environment, StoreError};
use progress_writer::ProgressWriter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use write_watcher::WriteWatcher;

/// How often a busy engine looks for kinds without a handler.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How soon an engine looks again that was told of something; then ever later, up to [`POLL_INTERVAL`], also past what others write that
/// does not concern it. Whoever sees a write often sees it before it is committed.
pub(crate) const FIRST_NAP: Duration = Duration::from_millis(1);

/// After which nap the store may do what can be done while nobody waits.
const REST_AFTER: Duration = Duration::from_millis(16);

pub(crate) struct Coordinator {
    pub(crate) crew: Arc<SharedScheduler>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) progress: Arc<Completion>,
    pub(crate) events: Arc<EventSignal>,
    pub(crate) writer: ProgressWriter,
    pub(crate) store: Arc<dyn EngineStore>,
    pub(crate) env: Arc<Environment>,
    pub(crate) clock: Arc<dyn Monotonic>,
    pub(crate) warnings: Warnings,
    /// When a busy engine looks for kinds without a handler next; an idle one does so besides.
    pub(crate) looks_at: Duration,
    /// When the last turn began, by the clock on the wall.
    pub(crate) turn_began: Timestamp,
    /// How long it waits next before it asks for the pulse: ever longer while nothing concerns it.
    pub(crate) nap: Duration,
    /// Who sees other processes write, where the system has such a one.
    pub(crate) watcher: Option<WriteWatcher>,
}

impl Coordinator {
    /// Works until it is told to stop, or until the store fails for too long.
    pub(crate) fn run(mut self) {
        // Whoever waits for this engine must not wait for ever, whatever happens here.
        let end = match catch_unwind(AssertUnwindSafe(|| self.work())) {
            Ok(Ok(())) if self.crew.core().runtime_is_gone() => EngineEnd::RuntimeShutDown,
            Ok(Ok(())) => EngineEnd::Stopped,
            Ok(Err(fault)) => EngineEnd::Failed(Arc::new(fault)),
            Err(_) => EngineEnd::Panicked,
        };
        self.crew.core().give_everything_up();
        self.crew.pool.close();
        // Only now others may take what is still held.
        drop(self.crew);
        self.progress.over(end.clone());
        trace::over(&end);
    }

    fn work(&mut self) -> Result<(), StoreError> {
        let crew = Arc::clone(&self.crew);
        trace::started(crew.core().settings());
        let mut patience = StoreRetry::default();
        let mut stop = None;
        loop {
            let mut core = crew.core();
            let turn = self.turn(&mut core, &mut stop);
            let pause = core.turn_over(self.clock.elapsed());
            let (damage, runtime_is_gone) = (core.take_damage(), core.runtime_is_gone());
            drop(core);
            for damage in damage {
                self.warnings.say(&Warning::CorruptRow(damage.to_string()));
            }
            if runtime_is_gone && self.mailbox.stop_wish().is_none() {
                // Nothing that is claimed for it could be run.
                self.mailbox.stop();
            }
            self.events.ring();
            let went_on = match turn {
                Ok(After::Stopped) => return Ok(()),
                Ok(After::More) => Ok(()),
                Ok(After::Idle { change_token }) => {
                    thread::sleep(pause);
                    self.idle(change_token, stop)
                }
                Err(fault) => Err(fault),
            };
            match went_on {
                Ok(()) => patience = StoreRetry::default(),
                Err(fault @ StoreError::CorruptRow { .. }) => {
                    self.warnings.say(&Warning::CorruptRow(fault.to_string()));
                    self.mailbox.wait(POLL_INTERVAL, stop);
                }
                Err(fault) if patience.is_left(&fault, self.clock.elapsed(), stop) => {
                    trace::waits_for_store(&fault);
                    self.mailbox.wait(POLL_INTERVAL, stop);
                }
                // What could not be handed back, the next engine takes.
                Err(StoreError::Busy(_)) if stop == Some(Stop::AtOnce) => return Ok(()),
                Err(fault) => return Err(fault),
            }
        }
    }

    fn turn(&mut self, core: &mut Scheduler, stop: &mut Option<Stop>) -> Result<After, StoreError> {
        let mut mail = self.mailbox.take();
        if mail.stop != *stop {
            *stop = mail.stop;
            // What finished is recorded in any case, also when nothing can be handed back at this moment.
            core.take_in(std::mem::take(&mut mail.finished));
            match mail.stop {
                Some(Stop::AtOnce) => core.abandon()?,
                Some(Stop::Graceful) => core.drain()?,
                None => {}
            }
        }
        // Before anything is read: what is written from here on changes it again.
        let change_token = self.store.change_token();
        let now = self.clock.elapsed();
        self.turn_began = self.env.now();
        let exchanged = core.exchange(now, mail.finished, self.crew.pool.lost_workers());
        let looked =
            change_token.as_ref().map_or(Ok(()), |change_token| core.look_for_cancelled(now, *change_token));
        for attempt in core.take_given_up() {
            self.crew.pool.give_up(&attempt);
        }
        self.crew.pool.run(exchanged?);
        looked?;
        if *stop == Some(Stop::AtOnce) {
            // Nothing else is begun: there may be more to settle than one transaction takes.
            return Ok(if core.is_empty() { After::Stopped } else { After::More });
        }
        let stepped = core.step(now)?;
        if stepped.runs_decided {
            self.progress.something_settled();
        }
        self.writer.write(core, &self.env, now);
        if now >= self.looks_at {
            self.looks_at = now + LOOK_EVERY;
            self.warnings.look_for_unhandled_kinds(&*self.store)?;
        }
        if stop.is_some() && core.is_empty() {
            return Ok(After::Stopped);
        }
        Ok(if stepped.more { After::More } else { After::Idle { change_token: change_token? } })
    }

    /// Waits until there is something to do. It only reads, and next to nothing.
    fn idle(&mut self, change_token: u64, stop: Option<Stop>) -> Result<(), StoreError> {
        // An attempt ends within microseconds as often as not: ask for no more than is needed.
        if self.mailbox.wait(Duration::ZERO, stop) {
            self.nap = FIRST_NAP;
            return Ok(());
        }
        // What was due when the last turn began waits for something else, such as the next rescue.
        let due = self.store.next_due()?.filter(|due| *due > self.turn_began);
        let mut looked = false;
        loop {
            let now = self.clock.elapsed();
            let wake_at = self.wake_at(now);
            let until_due =
                due.map_or(POLL_INTERVAL, |due| Duration::from_millis(due.millis_since(self.env.now())));
            let patience =
                self.nap.min(wake_at.saturating_sub(now)).min(until_due).max(Duration::from_millis(1));
            if self.mailbox.wait(patience, stop) {
                self.nap = FIRST_NAP;
                return Ok(());
            }
            if self.nap == REST_AFTER {
                self.store.on_idle();
            }
            self.nap = self.nap.saturating_mul(2).min(POLL_INTERVAL);
            if self.store.change_token()? != change_token {
                self.progress.something_settled();
                return Ok(());
            }
            // In a file that others write all the time a lookout would see nothing but that.
            if self.nap == POLL_INTERVAL
                && let Some(watcher) = &self.watcher
            {
                watcher.look_out();
            }
            if due.is_some_and(|due| due <= self.env.now()) || self.clock.elapsed() >= wake_at {
                return Ok(());
            }
            if !looked {
                // Once per quiet time: nothing changed since.
                looked = true;
                self.warnings.look_for_unhandled_kinds(&*self.store)?;
            }
        }
    }

    /// When time alone next gives it something to do.
    fn wake_at(&self, now: Duration) -> Duration {
        let core = self.crew.core();
        let wanted = [core.wanted_at(now), self.writer.wanted_at()].into_iter().flatten();
        wanted.fold(core.rescues_at(), Duration::min)
    }
}

enum After {
    /// The next turn has something to do.
    More,
    /// Nothing is to be done until something changes, in the store above all: this was its pulse.
    Idle {
        change_token: u64,
    },
    Stopped,
}
