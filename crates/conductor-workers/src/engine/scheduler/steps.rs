//! The steps of an engine: one of each, each a bounded transaction.

use super::{Scheduler, millis};
use crate::engine::trace;
use crate::{CHILDREN_PER_STEP, ROWS_PER_HEAVY_STEP, ROWS_PER_STEP};
use conductor_store::{FanOut, Prune, Rescue, Scope, Step, StoreError};
use std::time::Duration;

/// How often dead engines and leases that ended are looked for.
const RESCUE_EVERY: Duration = Duration::from_millis(250);
/// How often runs that ended long ago are looked for; and the pause between two transactions that remove some, so that work
/// has the store most of the time.
const PRUNE_EVERY: Duration = Duration::from_secs(1);
const PRUNE_PAUSE: Duration = Duration::from_millis(25);

/// What a turn of the steps came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stepped {
    /// Whether another turn at once would find something to do.
    pub(crate) more: bool,
    /// Whether a run was decided.
    pub(crate) runs_decided: bool,
}

impl Scheduler {
    /// Carries out one of each step that moves work on: rescue, retry, promote, expire, sweep, fan out,
    /// aggregate.
    pub(crate) fn step(&mut self, now: Duration) -> Result<Stepped, StoreError> {
        let (store, env, damage) = (&*self.store, &*self.env, &mut self.damage);
        // What was too much for one settlement is settled by the next.
        let more = std::mem::take(&mut self.left_some) || !self.endings.is_empty();
        let mut stepped = Stepped { more, runs_decided: false };
        if now >= self.rescue_at {
            let rescued = damage.past(store.rescue(&Rescue::new(ROWS_PER_HEAVY_STEP, env)))?;
            stepped.more |= rescued.changed > 0;
            if !rescued.more {
                self.rescue_at = now + RESCUE_EVERY;
            }
        }
        let step = Step::new(Scope::All, ROWS_PER_STEP, env);
        stepped.more |= damage.past(store.retry(&step))?.changed > 0;
        stepped.more |= damage.past(store.promote(&step))?.changed > 0;
        stepped.more |= damage.past(store.expire(&step))?.changed > 0;
        let slow_step = Step::new(Scope::All, ROWS_PER_HEAVY_STEP, env);
        let swept = damage.past(store.sweep(&slow_step))?;
        stepped.more |= swept.more;
        if swept.tasks > 0 {
            // Some of these may run here.
            self.looks_at = now;
        }
        let fan_out = FanOut::new(Scope::All, CHILDREN_PER_STEP, env).after(self.fan_out_turn);
        let fanned_out = damage.past(store.fan_out(&fan_out))?;
        stepped.more |= fanned_out.children > 0;
        self.fan_out_turn = fanned_out.cursor;
        let decided = damage.past(store.aggregate(&slow_step))?;
        stepped.more |= decided.more;
        stepped.runs_decided = decided.runs > 0;
        trace::runs_decided(decided.runs);
        self.prune(now)?;
        Ok(stepped)
    }

    /// Removes some of what ended long ago, at a low pace.
    fn prune(&mut self, now: Duration) -> Result<(), StoreError> {
        let Some(keep) = self.settings.keep.filter(|_| now >= self.prune_at) else { return Ok(()) };
        let pruned = self.store.prune(&Prune::before(self.env.now().minus_millis(millis(keep))))?;
        self.prune_at = now + if pruned.more { PRUNE_PAUSE } else { PRUNE_EVERY };
        Ok(())
    }
}
