//! Decides parents and runs whose children are all settled.
//!
//! A run from its submission to its end:
//!
//! ```
//! use conductor_model::{RunDraft, State, TaskDraft};
//! use conductor_store::{Query, Report, ReportBatch, Scope, Environment, SqliteStore, Store, Submit, TaskFilter};
//! use conductor_workers::steps::{aggregate, fan_out};
//! use serde_json::json;
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("conductor.db");
//! let store = SqliteStore::open(&path)?;
//! let env = Environment::system();
//!
//! // A run with one parent.
//! let parent = TaskDraft::new("PARENT").input(json!({"fanout": 3}));
//! let run = store.submit(&Submit::new(RunDraft::new().task(parent).validate()?, &env))?.run;
//! let parent = store.tasks(run, TaskFilter::default(), None, 1)?.items[0].id;
//!
//! fan_out::run_once(&store, Scope::Run(run), &env)?;
//!
//! // Two children are done; nothing is decided while the third is not.
//! let children = store.children(parent, 0, 100)?.items;
//! store.report(&ReportBatch::new(children[..2].iter().map(|child| Report::succeeded(child.id)), &env))?;
//! assert_eq!(aggregate::run_once(&store, Scope::Run(run), &env)?.parents, 0);
//!
//! store.report(&ReportBatch::new([Report::succeeded(children[2].id)], &env))?;
//! let decided = aggregate::run_once(&store, Scope::Run(run), &env)?;
//! assert_eq!((decided.parents, decided.runs), (1, 1));
//! assert_eq!(store.task(parent)?.unwrap().state, State::Succeeded);
//! assert_eq!(store.run(run)?.unwrap().state, State::Succeeded);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::ROWS_PER_HEAVY_STEP;
use conductor_store::{Environment, Scope, Step, Store, StoreError};

/// What an aggregation came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AggregateTotals {
    /// How many parents were decided.
    pub parents: u64,
    /// How many runs were decided.
    pub runs: u64,
}

/// Carries the states of children up to their parents and runs, level by level.
///
/// Nothing is decided before all children exist and are settled, unless the parent was given up. More failures than its
/// policy tolerates make it FAILED, else any CANCELLED child makes it CANCELLED, else its join runs, and without one it
/// has SUCCEEDED.
///
/// # Errors
/// [`StoreError`] of the step that failed; what the steps before it did stays done.
pub fn run_once<S: Store + ?Sized>(
    store: &S,
    scope: Scope,
    env: &Environment,
) -> Result<AggregateTotals, StoreError> {
    let mut report = AggregateTotals::default();
    loop {
        let done = store.aggregate(&Step::new(scope, ROWS_PER_HEAVY_STEP, env))?;
        report.parents += u64::from(done.parents);
        report.runs += u64::from(done.runs);
        if !done.more {
            return Ok(report);
        }
    }
}
