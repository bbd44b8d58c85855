//! Cancels what is open below something that was given up: by a person, by a policy that fails fast, by a deadline.
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
//! // The call marks the run, and nothing of it begins any more; the rest is done in bounded steps.
//! let _ = store.cancel(&Cancel::run(run, env.now()).reason("no longer needed"))?;
//! assert_eq!(sweep::run_once(&store, Scope::Run(run), &env)?.cancelled, 3);
//! aggregate::run_once(&store, Scope::Run(run), &env)?;
//! assert_eq!(store.run(run)?.unwrap().state, State::Cancelled);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::ROWS_PER_HEAVY_STEP;
use conductor_store::{Environment, Scope, Step, Store, StoreError};

/// What a sweep came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepTotals {
    /// How many runs were given up because their deadline passed.
    pub expired: u64,
    /// How many leaves and joins were cancelled.
    pub cancelled: u64,
    /// How many parents below something given up were given up with it.
    pub marked: u64,
}

/// Gives up runs whose deadline passed, and cancels what is open below whatever was given up.
///
/// # Errors
/// [`StoreError`] of the step that failed; what the steps before it did stays done.
pub fn run_once<S: Store + ?Sized>(
    store: &S,
    scope: Scope,
    env: &Environment,
) -> Result<SweepTotals, StoreError> {
    let mut report = SweepTotals::default();
    // One moment for all steps: a deadline that passes meanwhile belongs to the next call.
    let step = Step::new(scope, ROWS_PER_HEAVY_STEP, env);
    loop {
        let (expired, swept) = (store.expire(&step)?, store.sweep(&step)?);
        report.expired += u64::from(expired.changed);
        report.cancelled += u64::from(swept.tasks);
        report.marked += u64::from(swept.parents);
        if !expired.more && !swept.more {
            return Ok(report);
        }
    }
}
