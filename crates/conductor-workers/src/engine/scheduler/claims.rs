//! What an engine holds: kept by heartbeats, handed back, or given up.

use super::{Closing, Scheduler, millis};
use crate::engine::trace;
use crate::handler::attempt::Attempt;
use conductor_model::AttemptFailure;
use conductor_store::{AttemptResult, Fence, FenceOutcome, MAX_PAGE, Release, Renew, StoreError};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How often it is asked at most whether what runs was cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Scheduler {
    /// After a claim whose fate is unknown: hands back what was claimed by it, if it was.
    pub(super) fn look_for_lost_claims(&mut self) -> Result<(), StoreError> {
        let Some(registration) = self.registration.as_ref().filter(|_| self.in_doubt) else { return Ok(()) };
        let held = self.held.values().map(|attempt| attempt.fence);
        let ended = self.endings.iter().map(|(fence, _)| *fence);
        let known: Vec<Fence> = held.chain(ended).chain(self.releases.iter().copied()).collect();
        let lost = self.store.unknown_claims(registration.key(), &known, MAX_PAGE);
        let lost = self.damage.past(lost)?;
        // A full page may not be the last one.
        self.in_doubt = lost.len() == MAX_PAGE as usize;
        self.releases.extend(lost);
        Ok(())
    }

    /// After something was written: tells handlers that their tasks were cancelled, or that somebody else has them. Asked four
    /// times a second at most, and about those only that have begun: the others find it out when they are settled.
    pub(crate) fn look_for_cancelled(&mut self, now: Duration, change_token: u64) -> Result<(), StoreError> {
        self.is_news |= self.change_token.replace(change_token) != Some(change_token);
        if !self.is_news || now < self.looks_at {
            return Ok(());
        }
        (self.is_news, self.looks_at) = (false, now + LOOK_EVERY);
        let running: Vec<Fence> = self.running().map(|attempt| attempt.fence).collect();
        if running.is_empty() {
            return Ok(());
        }
        for fence in self.damage.past(self.store.stale_claims(&running))? {
            if let Some(attempt) = self.held.get(&fence.key).cloned() {
                trace::lease_lost(&attempt, self.kind_of(&attempt));
                self.give_up(attempt);
            }
        }
        Ok(())
    }

    /// The attempts that have begun.
    pub(super) fn running(&self) -> impl Iterator<Item = &Arc<Attempt>> {
        self.held.values().filter(|attempt| attempt.began().is_some())
    }

    /// From now on nothing is claimed, and what has not begun is handed back: after an error, by the next exchange.
    pub(crate) fn drain(&mut self) -> Result<(), StoreError> {
        self.closing.get_or_insert(Closing::Asked);
        self.release(Attempt::take_back)
    }

    /// Hands everything back, also what has begun: its results will be stale, and its handlers are told.
    pub(crate) fn abandon(&mut self) -> Result<(), StoreError> {
        self.closing.get_or_insert(Closing::Asked);
        self.release(|attempt| {
            attempt.take_back();
            attempt.signal.give();
            true
        })
    }

    fn release(&mut self, which: impl Fn(&Attempt) -> bool) -> Result<(), StoreError> {
        let given_up: Vec<_> = self.held.values().filter(|attempt| which(attempt)).cloned().collect();
        for attempt in &given_up {
            self.forget(attempt);
            self.releases.push(attempt.fence);
        }
        self.hand_back()
    }

    /// Hands back what waits in vain, the last first.
    pub(super) fn hand_back_surplus(&mut self, now: Duration, lost_workers: u32) -> Result<(), StoreError> {
        let waits = |attempt: &&Arc<Attempt>| attempt.began().is_none();
        let waiting = self.held.values().filter(waits).count();
        let workers = self.settings.workers.saturating_sub(lost_workers);
        let surplus = if self.is_full() { waiting } else { self.ahead.surplus(now, waiting, workers) };
        if surplus == 0 {
            return Ok(());
        }
        let last: BTreeSet<u64> =
            self.held.values().rev().filter(waits).take(surplus).map(|attempt| attempt.fence.key).collect();
        self.release(|attempt| last.contains(&attempt.fence.key) && attempt.take_back())
    }

    pub(super) fn hand_back(&mut self) -> Result<(), StoreError> {
        if self.releases.is_empty() {
            return Ok(());
        }
        let (store, env) = (&*self.store, &*self.env);
        let release = &mut |fences: &[Fence]| store.release(&Release::new(fences.to_vec(), env));
        // A claim that is no longer there is somebody else's by now.
        self.damage.in_halves(&self.releases, release)?;
        // Not before: otherwise these would be rescued when this engine is gone, and each pay with a retry.
        self.releases.clear();
        Ok(())
    }

    /// Tells all handlers that nobody waits for them any longer: this engine ends and cannot hand anything back. Nothing is
    /// claimed from now on.
    pub(crate) fn give_everything_up(&mut self) {
        self.closing.get_or_insert(Closing::Asked);
        for attempt in std::mem::take(&mut self.held).into_values() {
            attempt.take_back();
            attempt.signal.give();
        }
    }

    /// Stops holding an attempt; whether it was held.
    pub(super) fn forget(&mut self, attempt: &Attempt) -> bool {
        let is_held = self.held.get(&attempt.fence.key).is_some_and(|held| held.fence == attempt.fence);
        if is_held {
            self.held.remove(&attempt.fence.key);
            self.kinds[attempt.kind].held -= 1;
        }
        is_held
    }

    /// Stops holding an attempt that is no longer ours, or whose time is over. One that has not begun never will.
    pub(super) fn give_up(&mut self, attempt: Arc<Attempt>) {
        self.forget(&attempt);
        if !attempt.take_back() {
            attempt.signal.give();
            self.given_up.push(attempt);
        }
    }

    pub(super) fn end_what_takes_too_long(&mut self, now: Duration) {
        let over: Vec<_> = self.held.values().filter(|attempt| attempt.is_late(now)).cloned().collect();
        for attempt in over {
            trace::timed_out(&attempt, self.kind_of(&attempt));
            self.endings.push((attempt.fence, AttemptResult::Failed(AttemptFailure::TimedOut)));
            self.give_up(attempt);
        }
    }

    /// The heartbeat: renews all leases with one request, also of what waits to be settled. A claim that is no longer there is
    /// given up.
    pub(super) fn renew(&mut self, now: Duration) -> Result<(), StoreError> {
        if self.held.is_empty() && self.endings.is_empty() || now < self.heartbeat_at {
            return Ok(());
        }
        let held: Vec<_> = self.held.values().cloned().collect();
        let ended = self.endings.iter().map(|(fence, _)| *fence);
        let fences: Vec<Fence> = held.iter().map(|attempt| attempt.fence).chain(ended).collect();
        let (store, env, lease) = (&*self.store, &*self.env, millis(self.settings.lease));
        let renew = &mut |fences: &[Fence]| store.renew(&Renew::new(fences.to_vec(), lease, env));
        let renewed = match self.damage.in_halves(&fences, renew) {
            Ok(renewed) => renewed,
            Err(fault) => {
                if !self.trust.holds(now) {
                    // Too late: others may work on these by now. What has not begun waits until it is known.
                    for attempt in held.into_iter().filter(|attempt| attempt.began().is_some()) {
                        trace::lease_lost(&attempt, self.kind_of(&attempt));
                        self.give_up(attempt);
                    }
                }
                return Err(fault);
            }
        };
        for (attempt, fenced) in held.iter().zip(renewed) {
            if fenced != Some(FenceOutcome::Applied) {
                trace::lease_lost(attempt, self.kind_of(attempt));
                self.give_up(Arc::clone(attempt));
            }
        }
        self.trust_from(now);
        Ok(())
    }
}
