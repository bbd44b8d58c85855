//! The fan-out step: creates missing children.
//!
//! ```
//! use conductor_model::{RunDraft, TaskDraft};
//! use conductor_store::{Query, Scope, Environment, SqliteStore, Store, Submit, TaskFilter};
//! use conductor_workers::steps::fan_out;
//! use serde_json::json;
//!
//! let store = SqliteStore::open_in_memory()?;
//! let env = Environment::system();
//!
//! let parent = TaskDraft::new("PARENT").input(json!({"fanout": 3, "width": 80}));
//! let run = store.submit(&Submit::new(RunDraft::new().task(parent).validate()?, &env))?.run;
//!
//! let totals = fan_out::run_once(&store, Scope::Run(run), &env)?;
//! assert_eq!((totals.parents, totals.children), (1, 3));
//!
//! let parent = store.tasks(run, TaskFilter::default(), None, 1)?.items.remove(0);
//! let children = store.children(parent.id, 0, 100)?.items;
//! let names: Vec<_> = children.iter().map(|child| child.name.as_str()).collect();
//! assert_eq!(names, ["PARENT#1", "PARENT#2", "PARENT#3"]);
//! assert_eq!(children[0].input.as_ref().unwrap().as_str(), r#"{"width":80}"#);
//!
//! // The second pass creates nothing.
//! assert_eq!(fan_out::run_once(&store, Scope::Run(run), &env)?.children, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::drain::drain;
use crate::limits::CHILDREN_PER_STEP;
use conductor_store::{Environment, FanOut, RotationCursor, Scope, Store, StoreError};
use std::ops::AddAssign;

/// The totals of a fan-out pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FanOutTotals {
    /// How many parents got children, summed over the steps: a large parent gets its children in several steps.
    pub parents: u64,
    /// How many children were created.
    pub children: u64,
}

impl AddAssign for FanOutTotals {
    fn add_assign(&mut self, other: Self) {
        self.parents += other.parents;
        self.children += other.children;
    }
}

/// Makes one pass, which repeats bounded steps until no child in the scope is missing.
///
/// The children of a parent `NAME` are named `NAME#1` to `NAME#N`. Passes can be repeated and can run concurrently: each
/// creates only missing children.
///
/// # Errors
/// [`StoreError`] of the failed step; earlier steps remain.
pub fn run_once<S: Store + ?Sized>(
    store: &S,
    scope: Scope,
    env: &Environment,
) -> Result<FanOutTotals, StoreError> {
    let (mut totals, mut cursor) = (FanOutTotals::default(), RotationCursor::default());
    drain(|| {
        let step = store.fan_out(&FanOut::new(scope, CHILDREN_PER_STEP, env).after(cursor))?;
        cursor = step.cursor;
        totals.parents += u64::from(step.parents);
        totals.children += u64::from(step.children);
        Ok(step.more)
    })?;
    Ok(totals)
}
