//! The background steps of an engine: one of each per turn, each in a bounded transaction.

use super::state::Scheduler;
use crate::engine::trace;
use crate::handler::clock::millis;
use crate::limits::{CHILDREN_PER_STEP, ROWS_PER_HEAVY_STEP, ROWS_PER_STEP, TASKS_PER_SWEEP};
use conductor_store::{FanOut, Prune, Rescue, Scope, Step, StoreError};
use std::time::Duration;

/// How often an engine rescues tasks of dead engines and of expired leases.
const RESCUE_EVERY: Duration = Duration::from_millis(250);
/// How often an engine with a retention looks for runs to prune.
const PRUNE_EVERY: Duration = Duration::from_secs(1);
/// The pause between two transactions that prune, so that the work has the store most of the time.
const PRUNE_PAUSE: Duration = Duration::from_millis(25);

/// The outcome of one turn of the steps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StepSummary {
    /// Whether another turn at once would find work.
    pub(crate) more: bool,
    /// Whether a run was decided.
    pub(crate) runs_decided: bool,
}

impl Scheduler {
    /// Carries out one of each step: rescue, retry, promote, expire, sweep, fan-out, aggregate, prune.
    pub(super) fn take_steps(&mut self, now: Duration) -> Result<StepSummary, StoreError> {
        // Results that did not fit into this turn's transaction are settled by the next one.
        let more = self.rotation.take_more_available() || self.outbox.has_results();
        let mut summary = StepSummary { more, runs_decided: false };
        summary.more |= self.rescue(now)?;
        let (store, env, corrupt_rows) = (&*self.base.store, &*self.base.env, &mut self.corrupt_rows);
        let step = Step::new(Scope::All, ROWS_PER_STEP, env);
        summary.more |= corrupt_rows.skip(store.retry(&step))?.changed > 0;
        summary.more |= corrupt_rows.skip(store.promote(&step))?.changed > 0;
        summary.more |= corrupt_rows.skip(store.expire(&step))?.changed > 0;
        let heavy_step = Step::new(Scope::All, ROWS_PER_HEAVY_STEP, env);
        let swept = corrupt_rows.skip(store.sweep(&Step::new(Scope::All, TASKS_PER_SWEEP, env)))?;
        summary.more |= swept.more;
        if swept.tasks > 0 {
            // Some of the cancelled tasks may run in this engine.
            self.cancel_check.allow_at(now);
        }
        let fan_out = FanOut::new(Scope::All, CHILDREN_PER_STEP, env).after(self.timers.fan_out_cursor);
        let fanned_out = corrupt_rows.skip(store.fan_out(&fan_out))?;
        summary.more |= fanned_out.children > 0;
        self.timers.fan_out_cursor = fanned_out.cursor;
        let decided = corrupt_rows.skip(store.aggregate(&heavy_step))?;
        summary.more |= decided.more;
        summary.runs_decided = decided.runs > 0;
        trace::runs_decided(decided.runs);
        self.prune(now)?;
        Ok(summary)
    }

    /// Rescues tasks when that is due. Returns whether it found some.
    fn rescue(&mut self, now: Duration) -> Result<bool, StoreError> {
        if now < self.timers.rescue_at {
            return Ok(false);
        }
        let request = Rescue::new(ROWS_PER_HEAVY_STEP, &self.base.env);
        let rescued = self.corrupt_rows.skip(self.base.store.rescue(&request))?;
        if !rescued.more {
            self.timers.rescue_at = now + RESCUE_EVERY;
        }
        Ok(rescued.changed > 0)
    }

    /// Prunes some rows of runs whose retention has passed, when that is due.
    fn prune(&mut self, now: Duration) -> Result<(), StoreError> {
        let due = now >= self.timers.prune_at;
        let Some(retention) = self.base.settings.retention.filter(|_| due) else { return Ok(()) };
        let settled_before = self.base.env.now().minus_millis(millis(retention));
        let pruned = self.base.store.prune(&Prune::before(settled_before))?;
        self.timers.prune_at = now + if pruned.more { PRUNE_PAUSE } else { PRUNE_EVERY };
        Ok(())
    }
}
