//! Creates the children that are missing.
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
//! let report = fan_out::run_once(&store, Scope::Run(run), &env)?;
//! assert_eq!((report.parents, report.children), (1, 3));
//!
//! let parent = store.tasks(run, TaskFilter::default(), None, 1)?.items.remove(0);
//! let children = store.children(parent.id, 0, 100)?.items;
//! let names: Vec<_> = children.iter().map(|child| child.name.as_str()).collect();
//! assert_eq!(names, ["PARENT#1", "PARENT#2", "PARENT#3"]);
//! assert_eq!(children[0].input.as_ref().unwrap().as_str(), r#"{"width":80}"#);
//!
//! // Once more: nothing is missing.
//! assert_eq!(fan_out::run_once(&store, Scope::Run(run), &env)?.children, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::CHILDREN_PER_STEP;
use conductor_store::{Environment, FanOut, RotationCursor, Scope, Store, StoreError};

/// What a fan-out came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FanOutTotals {
    /// How often a parent got children; one with many gets them in several steps.
    pub parents: u64,
    /// How many children were created.
    pub children: u64,
}

/// Creates the children of every parent in the scope that asks for some: `NAME#1` … `NAME#N`.
///
/// Running it again, or twice at once, creates only what is missing.
///
/// # Errors
/// [`StoreError`] of the step that failed; what the steps before it did stays done.
pub fn run_once<S: Store + ?Sized>(
    store: &S,
    scope: Scope,
    env: &Environment,
) -> Result<FanOutTotals, StoreError> {
    let (mut report, mut turn) = (FanOutTotals::default(), RotationCursor::default());
    loop {
        let done = store.fan_out(&FanOut::new(scope, CHILDREN_PER_STEP, env).after(turn))?;
        turn = done.cursor;
        report.parents += u64::from(done.parents);
        report.children += u64::from(done.children);
        if !done.more {
            return Ok(report);
        }
    }
}
