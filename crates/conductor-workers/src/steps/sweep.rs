//! The sweep step: cancels the open tasks of runs and parents that are being cancelled.
//!
//! A caller, a fail-fast policy or a deadline starts such a cancellation.
//!
//! ```
//! use conductor_model::{RunDraft, State, TaskDraft};
//! use conductor_store::{Admin, Cancel, Query, Scope, Environment, SqliteStore, Store, Submit};
//! use conductor_workers::steps::{aggregate, fan_out, sweep};
//! use serde_json::json;
//!
//! let store = SqliteStore::open_in_memory()?;
//! let env = Environment::system();
//! let parent = TaskDraft::new("PARENT").input(json!({"fanout": 3}));
//! let run = store.submit(&Submit::new(RunDraft::new().task(parent).validate()?, &env))?.run;
//! fan_out::run_once(&store, Scope::Run(run), &env)?;
//!
//! // The request only sets the cancel cause of the run, so that none of its tasks starts. The sweep cancels the tasks in bounded steps.
//! let _ = store.cancel(&Cancel::run(run, env.now()).reason("no longer needed"))?;
//! assert_eq!(sweep::run_once(&store, Scope::Run(run), &env)?.cancelled, 3);
//! aggregate::run_once(&store, Scope::Run(run), &env)?;
//! assert_eq!(store.run(run)?.unwrap().state, State::Cancelled);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::drain::drain;
use crate::limits::{ROWS_PER_STEP, TASKS_PER_SWEEP};
use conductor_store::{Environment, Scope, Step, Store, StoreError};
use std::ops::AddAssign;

/// The totals of a sweep pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepTotals {
    /// How many runs are being cancelled because their deadline has passed.
    pub expired: u64,
    /// How many leaves and joins were cancelled.
    pub cancelled: u64,
    /// How many parents got a cancel request, because their run or parent has one.
    pub cancel_requested: u64,
}

impl AddAssign for SweepTotals {
    fn add_assign(&mut self, other: Self) {
        self.expired += other.expired;
        self.cancelled += other.cancelled;
        self.cancel_requested += other.cancel_requested;
    }
}

/// Makes one pass, which repeats bounded steps until no deadline in the scope has passed and no task is left to cancel.
///
/// # Errors
/// [`StoreError`] of the failed step; earlier steps remain.
pub fn run_once<S: Store + ?Sized>(
    store: &S,
    scope: Scope,
    env: &Environment,
) -> Result<SweepTotals, StoreError> {
    let mut totals = SweepTotals::default();
    // One time for all steps: a deadline that passes during the pass belongs to the next pass.
    let now = env.now();
    let [expiry, sweep] = [ROWS_PER_STEP, TASKS_PER_SWEEP].map(|limit| Step { scope, now, limit });
    drain(|| {
        let (expired, swept) = (store.expire(&expiry)?, store.sweep(&sweep)?);
        totals.expired += u64::from(expired.changed);
        totals.cancelled += u64::from(swept.tasks);
        totals.cancel_requested += u64::from(swept.parents);
        Ok(expired.more || swept.more)
    })?;
    Ok(totals)
}
