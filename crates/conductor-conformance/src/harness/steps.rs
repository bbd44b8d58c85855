//! The bounded steps that an engine runs between claims.

use super::{Harness, LARGE_LIMIT};
use conductor_store::{
    AggregateOutcome, ClaimOutcome, FanOut, FanOutOutcome, PruneOutcome, Rescue, RotationCursor, Scope, Step,
    StepOutcome, SweepOutcome,
};

/// The most steps that a test needs to finish its work. A store that asks for more never stops asking.
const MAX_STEPS: usize = 10_000;

/// The outcome of a bounded operation.
pub(crate) trait BoundedOutcome {
    /// Whether another call may find work.
    fn has_more(&self) -> bool;
}

macro_rules! bounded_outcomes {
    ($($outcome:ty),*) => {
        $(impl BoundedOutcome for $outcome {
            fn has_more(&self) -> bool {
                self.more
            }
        })*
    };
}

bounded_outcomes!(AggregateOutcome, ClaimOutcome, FanOutOutcome, PruneOutcome, StepOutcome, SweepOutcome);

/// Repeats a bounded operation until no work is left, and returns the outcome of each call.
pub(crate) fn drain<T: BoundedOutcome>(mut step: impl FnMut() -> T) -> Vec<T> {
    let mut outcomes = Vec::new();
    loop {
        let outcome = step();
        let has_more = outcome.has_more();
        outcomes.push(outcome);
        if !has_more {
            return outcomes;
        }
        assert!(outcomes.len() < MAX_STEPS, "work is left after {MAX_STEPS} steps");
    }
}

/// One step each.
impl Harness<'_> {
    /// Runs a fan-out step that has `ids` ids for new tasks.
    pub(crate) fn fan_out_step(&self, scope: Scope, ids: u32) -> FanOutOutcome {
        self.fan_out_from(RotationCursor::default(), scope, ids)
    }

    /// Runs a fan-out step that starts after the run of the cursor.
    pub(crate) fn fan_out_from(&self, cursor: RotationCursor, scope: Scope, ids: u32) -> FanOutOutcome {
        let step = FanOut { scope, now: self.now(), ids: self.env().ids(ids), cursor };
        self.store().fan_out(&step).expect("fan-out succeeds")
    }

    pub(crate) fn aggregate_step(&self, step: &Step) -> AggregateOutcome {
        self.store().aggregate(step).expect("aggregate succeeds")
    }

    pub(crate) fn retry_step(&self, step: &Step) -> StepOutcome {
        self.store().retry(step).expect("retry succeeds")
    }

    pub(crate) fn promote_step(&self, step: &Step) -> StepOutcome {
        self.store().promote(step).expect("promote succeeds")
    }

    pub(crate) fn sweep_step(&self, step: &Step) -> SweepOutcome {
        self.store().sweep(step).expect("sweep succeeds")
    }

    pub(crate) fn expire_step(&self, step: &Step) -> StepOutcome {
        self.store().expire(step).expect("expire succeeds")
    }

    pub(crate) fn rescue_step(&self, limit: u32) -> StepOutcome {
        self.store().rescue(&Rescue::new(limit, self.env())).expect("rescue succeeds")
    }
}

/// Steps until no work is left.
impl Harness<'_> {
    /// Fans out until no child is missing, and returns how many children were created.
    pub(crate) fn fan_out(&self) -> u32 {
        let outcomes = drain(|| self.fan_out_step(Scope::All, LARGE_LIMIT));
        outcomes.iter().map(|outcome| outcome.children).sum()
    }

    /// Aggregates until nothing can be decided, and returns how many parents and runs were decided.
    pub(crate) fn aggregate(&self) -> (u32, u32) {
        let outcomes = drain(|| self.aggregate_step(&self.step()));
        (
            outcomes.iter().map(|outcome| outcome.parents).sum(),
            outcomes.iter().map(|outcome| outcome.runs).sum(),
        )
    }

    /// Sweeps until no open task is below a cancelled node. Returns how many tasks and parents were swept.
    pub(crate) fn sweep(&self) -> (u32, u32) {
        let outcomes = drain(|| self.sweep_step(&self.step()));
        (
            outcomes.iter().map(|outcome| outcome.tasks).sum(),
            outcomes.iter().map(|outcome| outcome.parents).sum(),
        )
    }

    /// Makes failed tasks pending whose retry is due, and returns how many.
    pub(crate) fn retry(&self) -> u32 {
        self.retry_step(&self.step()).changed
    }

    /// Makes delayed tasks ready that are due, and returns how many.
    pub(crate) fn promote(&self) -> u32 {
        self.promote_step(&self.step()).changed
    }

    /// Cancels runs whose deadline has passed, and returns how many.
    pub(crate) fn expire(&self) -> u32 {
        self.expire_step(&self.step()).changed
    }

    /// Fails the claims that are lost, and returns how many.
    pub(crate) fn rescue(&self) -> u32 {
        self.rescue_step(LARGE_LIMIT).changed
    }

    /// Runs aggregate, sweep, fan-out, retry and promote until none of them has work. A store that counts later applies
    /// the policies in the aggregate, which then leads to a sweep.
    pub(crate) fn run_all_steps(&self) {
        loop {
            let decided = self.aggregate().0;
            let (tasks, parents) = self.sweep();
            let moved = decided + tasks + parents + self.fan_out() + self.retry() + self.promote();
            if moved == 0 {
                break;
            }
        }
    }
}
