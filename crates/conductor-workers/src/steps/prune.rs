//! The prune step: deletes runs that settled long ago.
//!
//! ```
//! use conductor_model::{RunDraft, Timestamp};
//! use conductor_store::{Query, Environment, SqliteStore, Store, Submit};
//! use conductor_workers::steps::{aggregate, prune};
//! # use conductor_store::Scope;
//!
//! let store = SqliteStore::open_in_memory()?;
//! let env = Environment::system();
//! let run = store.submit(&Submit::new(RunDraft::new().validate()?, &env))?.run;
//! aggregate::run_once(&store, Scope::All, &env)?;
//!
//! let an_hour_ago = env.now().minus_millis(60 * 60 * 1000);
//! assert_eq!(prune::run_once(&store, an_hour_ago)?.runs, 0);
//! assert_eq!(prune::run_once(&store, Timestamp::MAX)?.runs, 1);
//! assert_eq!(store.run(run)?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::drain::drain;
use conductor_model::Timestamp;
use conductor_store::{Admin, Prune, StoreError};

/// The totals of a prune pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneTotals {
    /// How many runs were deleted.
    pub runs: u64,
    /// How many tasks were deleted.
    pub tasks: u64,
    /// How many events were deleted.
    pub events: u64,
    /// How many bytes the store returned to the system.
    pub bytes: u64,
}

/// Makes one pass, which repeats bounded steps until no run is left that settled before `settled_before`.
///
/// It deletes whole runs with all their rows, and returns the space to the system. The transactions are short, so other
/// writers wait little. Passes can run concurrently, and a pass that was killed is continued by the next one.
///
/// # Errors
/// [`StoreError`] of the failed step; earlier steps remain.
pub fn run_once<S: Admin + ?Sized>(store: &S, settled_before: Timestamp) -> Result<PruneTotals, StoreError> {
    let mut totals = PruneTotals::default();
    drain(|| {
        let step = store.prune(&Prune::before(settled_before))?;
        totals.runs += u64::from(step.runs);
        totals.tasks += u64::from(step.tasks);
        totals.events += u64::from(step.events);
        totals.bytes += step.bytes;
        Ok(step.more)
    })?;
    Ok(totals)
}
