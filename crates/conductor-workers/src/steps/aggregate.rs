//! The aggregate step: decides parents and runs whose children are settled.
//!
//! A run from its submission to its final state:
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
//! // Two children have succeeded; the third has not.
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

use super::drain::drain;
use crate::limits::ROWS_PER_HEAVY_STEP;
use conductor_store::{Environment, Scope, Step, Store, StoreError};
use std::ops::AddAssign;

/// The totals of an aggregate pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AggregateTotals {
    /// How many parents were decided.
    pub parents: u64,
    /// How many runs were decided.
    pub runs: u64,
}

impl AddAssign for AggregateTotals {
    fn add_assign(&mut self, other: Self) {
        self.parents += other.parents;
        self.runs += other.runs;
    }
}

/// Makes one pass, which repeats bounded steps until no parent and no run in the scope can be decided. Each step decides one
/// level of the tree.
///
/// A parent is decided after all its children exist and are settled, or when it is being cancelled. The first matching rule
/// decides:
///
/// 1. It has more failed children than its policy tolerates: it is FAILED.
/// 2. It has a CANCELLED child: it is CANCELLED.
/// 3. It has a join that has not run: the join starts.
/// 4. Otherwise it has SUCCEEDED.
///
/// # Errors
/// [`StoreError`] of the failed step; earlier steps remain.
pub fn run_once<S: Store + ?Sized>(
    store: &S,
    scope: Scope,
    env: &Environment,
) -> Result<AggregateTotals, StoreError> {
    let mut totals = AggregateTotals::default();
    drain(|| {
        let step = store.aggregate(&Step::new(scope, ROWS_PER_HEAVY_STEP, env))?;
        totals.parents += u64::from(step.parents);
        totals.runs += u64::from(step.runs);
        Ok(step.more)
    })?;
    Ok(totals)
}
